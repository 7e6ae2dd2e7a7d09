/**
 * Which traffic a waypoint takes, which policies it enforces, and what the server's ztunnel sees behind it.
 * @see https://istio.io/latest/docs/ambient/usage/waypoint/ and https://istio.io/latest/docs/ambient/usage/l7-features/
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessRequest, can, type Decision } from "../../../src/index.ts";
import { waypointOfService, waypointOfWorkload } from "../../../src/policy/waypoint/waypoints.ts";
import {
  authorizationText,
  destinationText,
  entryText,
  meshConfigText,
  namespaceText,
  peerText,
  podText,
  resourceText,
  routeText,
  tokenText,
} from "../path/journey-text.ts";
import { meshFrom } from "../path/mesh-text.ts";
import {
  AMBIENT,
  ambientPodText,
  boundServiceText,
  CLASS_REF,
  fromClient,
  GATEWAY_REF,
  SERVICE_REF,
  shopText,
  targetedText,
  toService,
  USES,
  waypointPodText,
  waypointText,
} from "../waypoint/waypoint-mesh.ts";

async function ask(
  text: string,
  request: Partial<AccessRequest> = {},
  options: object = {},
): Promise<Decision> {
  const { mesh, rejected } = await meshFrom(text);
  assert.deepEqual(rejected, []);
  const [decision] = await can(mesh, [{ from: fromClient, to: toService, ...request }], {
    compareModes: false,
    ...options,
  });
  assert.ok(decision !== undefined);
  return decision;
}

const hops = ({ hops: all }: Decision): string[] => all.map(({ hop, side }) => `${side} ${hop}`);
const BY_WAYPOINT = ["client m/c", "waypoint m/wp", "server m/s"];
const PAST_WAYPOINT = ["client m/c", "server m/s"];
const GET = (path: string): object => ({
  rules: [{ to: [{ operation: { methods: ["GET"], paths: [path] } }] }],
});
const from = (principal: string): object => ({
  rules: [{ from: [{ source: { principals: [principal] } }] }],
});
const denial = (rule: object): object => ({ action: "DENY", rules: [rule] });
const said = ({ allowed, cause, hop, policy }: Decision): readonly unknown[] => [allowed, cause, hop, policy];
const WEB = podText("k", "c", { ip: "10.2.0.1" });
const P = "AuthorizationPolicy m/p";

test("istio.io/use-waypoint binds by service, else by namespace; none unbinds", async () => {
  assert.deepEqual(hops(await ask(shopText())), BY_WAYPOINT);
  assert.deepEqual(hops(await ask(shopText({}))), PAST_WAYPOINT);
  const own = (labels: Readonly<Record<string, string>>, namespace = {}): string =>
    shopText(namespace).replace(
      '"kind":"Service","metadata":{"name":"s","namespace":"m","labels":{}',
      `"kind":"Service","metadata":{"name":"s","namespace":"m","labels":${JSON.stringify(labels)}`,
    );
  assert.deepEqual(hops(await ask(own(USES))), BY_WAYPOINT);
  assert.deepEqual(hops(await ask(own({ "istio.io/use-waypoint": "none" }, USES))), PAST_WAYPOINT);
});

test("istio.io/use-waypoint-namespace names a waypoint of another namespace, which has to let it (allowedRoutes)", async () => {
  const elsewhere = { ...USES, "istio.io/use-waypoint-namespace": "w" };
  const mesh = (allowedRoutes?: object): string =>
    [
      namespaceText("m", { ...AMBIENT, ...elsewhere }),
      ambientPodText("m", "c", "10.1.0.1"),
      ambientPodText("m", "s", "10.1.0.2"),
      boundServiceText(),
      waypointText({ namespace: "w", ...(allowedRoutes === undefined ? {} : { allowedRoutes }) }),
      waypointPodText("w"),
    ].join("");
  const across = ["client m/c", "waypoint w/wp", "server m/s"];
  assert.deepEqual(hops(await ask(mesh({ namespaces: { from: "All" } }))), across);
  const selector = (name: string): object => ({
    namespaces: { from: "Selector", selector: { matchLabels: { "kubernetes.io/metadata.name": name } } },
  });
  assert.deepEqual(hops(await ask(mesh(selector("m")))), across);
  assert.deepEqual(hops(await ask(mesh(selector("x")))), PAST_WAYPOINT);
  const refused = await ask(mesh());
  assert.deepEqual(hops(refused), PAST_WAYPOINT);
  assert.match(
    refused.explanation.join("\n"),
    /waypoint w\/wp takes nothing of namespace m \(allowedRoutes\): Istio sends past it/,
  );
});

test("a waypoint that is not there, or not ready, is passed by: Istio fails open, and it is said", async () => {
  const missing = await ask(shopText({ "istio.io/use-waypoint": "other" }, targetedText(denial({}))));
  assert.deepEqual([missing.allowed, ...hops(missing)], [true, ...PAST_WAYPOINT]);
  assert.match(
    missing.explanation.join("\n"),
    /waypoint m\/other is not there, or not ready: Istio sends past it/,
  );
  const ready = (status: object): string => shopText().replace(waypointText(), waypointText({ status }));
  assert.deepEqual(hops(await ask(ready({ conditions: [] }))), PAST_WAYPOINT);
  const addresses = [{ type: "Hostname", value: "wp.m.svc.cluster.local" }];
  assert.deepEqual(hops(await ask(ready({ addresses }))), BY_WAYPOINT);
});

function classText(traffic: string): string {
  const metadata = { name: "istio-waypoint", labels: { "istio.io/waypoint-for": traffic } };
  const spec = { controllerName: "istio.io/mesh-controller" };
  return `---\n${JSON.stringify({ apiVersion: "gateway.networking.k8s.io/v1", kind: "GatewayClass", metadata, spec })}\n`;
}

test("istio.io/waypoint-for: service by default; workload, all, none; of the Gateway before its class", async () => {
  const service = { ...toService };
  const pod = { host: "10.1.0.2", port: 8080 };
  const mesh = (kind: string | undefined, ofClass?: string): string =>
    shopText().replace(
      waypointText(),
      waypointText({ labels: kind === undefined ? {} : { "istio.io/waypoint-for": kind } }),
    ) + (ofClass === undefined ? "" : classText(ofClass));
  for (const [kind, ofClass, byService, byPod] of [
    [undefined, undefined, true, false],
    ["service", undefined, true, false],
    ["workload", undefined, false, true],
    ["all", undefined, true, true],
    ["none", undefined, false, false],
    [undefined, "workload", false, true],
    ["service", "workload", true, false],
  ] as const) {
    const told = [
      hops(await ask(mesh(kind, ofClass), { to: service })),
      hops(await ask(mesh(kind, ofClass), { to: pod })),
    ];
    assert.deepEqual(
      told,
      [byService ? BY_WAYPOINT : PAST_WAYPOINT, byPod ? BY_WAYPOINT : PAST_WAYPOINT],
      `${kind} ${ofClass}`,
    );
  }
});

test("a pod's own label binds what is sent to its own address, not what is sent to its service", async () => {
  const all = waypointText({ labels: { "istio.io/waypoint-for": "all" } });
  const mesh = [
    namespaceText("m", AMBIENT),
    ambientPodText("m", "c", "10.1.0.1"),
    ambientPodText("m", "s", "10.1.0.2", USES),
    boundServiceText(),
    all,
    waypointPodText(),
  ].join("");
  assert.deepEqual(hops(await ask(mesh, { to: { host: "10.1.0.2", port: 8080 } })), BY_WAYPOINT);
  assert.deepEqual(hops(await ask(mesh)), PAST_WAYPOINT);
});

test("a headless service has no address of its own: its pods are dialled, past a service's waypoint", async () => {
  const headless = shopText().replace('"clusterIP":"10.96.0.1"', '"clusterIP":"None"');
  assert.deepEqual(hops(await ask(headless, { to: { service: "s.m", port: 8080 } })), PAST_WAYPOINT);
});

test("a ServiceEntry is bound by its own label; one of resolution NONE never is", async () => {
  const entry = (resolution: string): string =>
    shopText(
      {},
      entryText("m", "out", {
        hosts: ["api.example"],
        ports: [{ number: 80, name: "http", protocol: "HTTP" }],
        location: "MESH_EXTERNAL",
        resolution,
      }).replace('"labels":{}', `"labels":${JSON.stringify(USES)}`) +
        targetedText(GET("/ok"), {
          refs: [{ kind: "ServiceEntry", group: "networking.istio.io", name: "out" }],
        }),
    );
  const to = { host: "api.example", port: 80 };
  const ok = await ask(entry("DNS"), { to, path: "/ok" });
  assert.deepEqual([ok.allowed, ...hops(ok)], [true, "client m/c", "waypoint m/wp"]);
  const other = await ask(entry("DNS"), { to, path: "/other" });
  assert.deepEqual([other.allowed, other.cause], [false, "no-allow-matched"]);
  const dialled = await ask(entry("NONE"), { to, path: "/other" });
  assert.deepEqual([dialled.allowed, ...hops(dialled)], [true, "client m/c"]);
});

test("sidecar clients send past the waypoint, to the pods' ztunnels, whatever the waypoint enforces", async () => {
  const decision = await ask(shopText(USES, WEB + targetedText(denial({}))), { from: { workload: "k/c" } });
  assert.deepEqual(
    [decision.allowed, decision.tls, ...hops(decision)],
    [true, "hbone", "client k/c", "server m/s"],
  );
  assert.match(decision.explanation.join("\n"), /the waypoint of s\.m\.svc\.cluster\.local is passed by/);
});

test("clients without any proxy reach the pod past the waypoint, in clear", async () => {
  const bare = podText("k", "bare", { ip: "10.2.0.2", labels: { "sidecar.istio.io/inject": "false" } });
  const text = shopText(USES, bare + targetedText(denial({})));
  const open = await ask(text, { from: { workload: "k/bare" } });
  assert.deepEqual([open.allowed, ...hops(open)], [true, "server m/s"]);
  const strict = await ask(text + peerText("m", "strict", { mtls: { mode: "STRICT" } }), {
    from: { workload: "k/bare" },
  });
  assert.deepEqual([strict.allowed, strict.cause], [false, "plaintext-refused"]);
});

const INGRESS = [
  podText("g", "g", { ip: "10.3.0.1", labels: { istio: "g" } }).replace(
    '"ports":[{"containerPort":8080}]',
    '"ports":[]',
  ),
  resourceText("v1", "Service", "g", "g", { selector: { app: "g" }, ports: [{ name: "http", port: 80 }] }),
  resourceText("networking.istio.io/v1", "Gateway", "g", "g", {
    selector: { istio: "g" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
  routeText("m", "in", {
    hosts: ["shop.example"],
    gateways: ["g/g"],
    http: [{ route: [{ destination: { host: "s", port: { number: 80 } } }] }],
  }),
].join("");
const VIA = { from: { ip: "203.0.113.9" }, to: { host: "shop.example", port: 80 }, via: "g/g" } as const;

test("gateways send past the waypoint, unless istio.io/ingress-use-waypoint of the service, or of its namespace, is true", async () => {
  const refuses = targetedText(denial({}));
  const use = { "istio.io/ingress-use-waypoint": "true" };
  const past = await ask(shopText(USES, INGRESS + refuses), VIA);
  assert.deepEqual([past.allowed, ...hops(past)], [true, "gateway g/g", "server m/s"]);
  const by = await ask(shopText({ ...USES, ...use }, INGRESS + refuses), VIA);
  assert.deepEqual([by.allowed, by.policy, ...hops(by)], [false, P, "gateway g/g", "waypoint m/wp"]);
  const own = (value: string): string =>
    shopText({ ...USES, ...use }, INGRESS + refuses).replace(
      '"name":"s","namespace":"m","labels":{}',
      `"name":"s","namespace":"m","labels":{"istio.io/ingress-use-waypoint":"${value}"}`,
    );
  assert.equal((await ask(own("false"), VIA)).allowed, true);
  assert.equal((await ask(own("true"), VIA)).allowed, false);
});

test("a waypoint sees a gateway as the client, with the gateway's identity", async () => {
  const use = { ...USES, "istio.io/ingress-use-waypoint": "true" };
  const mesh = (principal: string): string => shopText(use, INGRESS + targetedText(from(principal)));
  assert.equal((await ask(mesh("cluster.local/ns/g/sa/g"), VIA)).allowed, true);
  assert.equal((await ask(mesh("cluster.local/ns/m/sa/c"), VIA)).allowed, false);
});

test("a gateway as the client of a service is decided as if a route led there", async () => {
  const mesh = shopText(USES, INGRESS);
  const decision = await ask(mesh, { from: { workload: "g/g" } });
  assert.deepEqual([decision.allowed, ...hops(decision)], [true, "gateway g/g", "server m/s"]);
  const none = await ask(mesh, { from: { workload: "g/g" }, to: { service: "s.m", port: 81 } });
  assert.deepEqual([none.allowed, none.cause], [false, "no-cluster"]);
  const outside = await ask(mesh, { from: { workload: "g/g" }, to: { host: "no.example", port: 80 } });
  assert.deepEqual([outside.reason, outside.cause], ["unknown", "gateway-as-client"]);
});

test("targetRefs of a Service: in the Service's own namespace, for that Service alone", async () => {
  const other = boundServiceText({}, { selector: { app: "s" }, clusterIP: "10.96.0.2" }, "m", "o");
  const mesh = shopText(USES, other + targetedText(denial({})));
  assert.deepEqual(said(await ask(mesh)), [false, "deny-matched", "m/wp", P]);
  assert.equal((await ask(mesh, { to: { service: "o.m", port: 80 } })).allowed, true);
  for (const namespace of ["k", "istio-system"])
    assert.equal(
      (await ask(shopText(USES, targetedText(denial({}), { namespace })))).allowed,
      true,
      namespace,
    );
  const entry = [{ kind: "ServiceEntry", group: "networking.istio.io", name: "s" }];
  assert.equal((await ask(shopText(USES, targetedText(denial({}), { refs: entry })))).allowed, true);
  assert.equal(
    (await ask(shopText(USES, targetedText(denial({}), { refs: [{ ...SERVICE_REF, group: "core" }] }))))
      .allowed,
    false,
  );
});

test("targetRefs of a waypoint's Gateway: in its namespace, for all that it takes", async () => {
  const refs = [GATEWAY_REF];
  assert.deepEqual(said(await ask(shopText(USES, targetedText(denial({}), { refs })))), [
    false,
    "deny-matched",
    "m/wp",
    P,
  ]);
  assert.equal(
    (await ask(shopText(USES, targetedText(denial({}), { refs: [{ ...GATEWAY_REF, name: "x" }] })))).allowed,
    true,
  );
  assert.equal((await ask(shopText(USES, targetedText(denial({}), { refs, namespace: "k" })))).allowed, true);
});

test("targetRefs of GatewayClass istio-waypoint: in the root namespace, for every waypoint", async () => {
  const refs = [CLASS_REF];
  const root = "istio-system";
  assert.equal(
    (await ask(shopText(USES, targetedText(denial({}), { refs, namespace: root })))).policy,
    "AuthorizationPolicy istio-system/p",
  );
  assert.equal((await ask(shopText(USES, targetedText(denial({}), { refs })))).allowed, true);
  const other = [{ ...CLASS_REF, name: "istio" }];
  assert.equal(
    (await ask(shopText(USES, targetedText(denial({}), { refs: other, namespace: root })))).allowed,
    true,
  );
});

test("a policy on a Service counts at a waypoint of another namespace, too", async () => {
  const elsewhere = { ...USES, "istio.io/use-waypoint-namespace": "w" };
  const mesh = [
    namespaceText("m", { ...AMBIENT, ...elsewhere }),
    ambientPodText("m", "c", "10.1.0.1"),
    ambientPodText("m", "s", "10.1.0.2"),
    boundServiceText(),
    waypointText({ namespace: "w", allowedRoutes: { namespaces: { from: "All" } } }),
    waypointPodText("w"),
  ].join("");
  assert.equal((await ask(mesh + targetedText(denial({})))).policy, P);
  assert.equal((await ask(mesh + targetedText(denial({}), { namespace: "w" }))).allowed, true);
  assert.equal(
    (await ask(mesh + targetedText(denial({}), { namespace: "w", refs: [GATEWAY_REF] }))).policy,
    "AuthorizationPolicy w/p",
  );
});

test("a waypoint enforces no policy with a selector, and none without target: ztunnel does, and sees the waypoint", async () => {
  const selector = { selector: { matchLabels: { app: "s" } } };
  const named = authorizationText("m", "p", { ...selector, ...from("cluster.local/ns/m/sa/c") });
  assert.deepEqual(said(await ask(shopText(USES, named))), [false, "no-allow-matched", "m/s", null]);
  const waypoint = authorizationText("m", "p", { ...selector, ...from("cluster.local/ns/m/sa/wp") });
  assert.deepEqual(said(await ask(shopText(USES, waypoint))), [true, "allow-matched", "m/s", P]);
  assert.equal(
    (await ask(shopText(USES, authorizationText("m", "p", from("cluster.local/ns/m/sa/c"))))).allowed,
    false,
  );
});

test("a selector policy with HTTP rules behind a waypoint: ALLOW denies all, as ztunnel drops the rule", async () => {
  const text = authorizationText("m", "p", { selector: { matchLabels: { app: "s" } }, ...GET("/ok") });
  assert.deepEqual(said(await ask(shopText(USES, text), { path: "/ok" })), [
    false,
    "no-allow-matched",
    "m/s",
    null,
  ]);
});

test("behind a waypoint ztunnel sees the waypoint's identity and address", async () => {
  const rule = (ip: string): string =>
    authorizationText("m", "q", {
      selector: { matchLabels: { app: "s" } },
      rules: [{ from: [{ source: { ipBlocks: [ip] } }] }],
    });
  assert.equal((await ask(shopText(USES, rule("10.1.0.9")))).allowed, true);
  assert.equal((await ask(shopText(USES, rule("10.1.0.1")))).allowed, false);
});

test("a waypoint sees the client's own identity and address", async () => {
  for (const [rule, allowed] of [
    [from("cluster.local/ns/m/sa/c"), true],
    [from("cluster.local/ns/m/sa/wp"), false],
    [{ rules: [{ from: [{ source: { ipBlocks: ["10.1.0.1"] } }] }] }, true],
    [{ rules: [{ from: [{ source: { ipBlocks: ["10.1.0.9"] } }] }] }, false],
  ] as const)
    assert.equal((await ask(shopText(USES, targetedText(rule)))).allowed, allowed);
});

test("at a waypoint ports and addresses are the service's, not the container's", async () => {
  const port = (value: string): object => ({ rules: [{ to: [{ operation: { ports: [value] } }] }] });
  assert.equal((await ask(shopText(USES, targetedText(port("80"))))).allowed, true);
  assert.equal((await ask(shopText(USES, targetedText(port("8080"))))).allowed, false);
  const ip = (value: string): object => ({ rules: [{ when: [{ key: "destination.ip", values: [value] }] }] });
  assert.equal((await ask(shopText(USES, targetedText(ip("10.96.0.1"))))).allowed, true);
  assert.equal((await ask(shopText(USES, targetedText(ip("10.1.0.2"))))).allowed, false);
});

test("an address that the files do not have leaves open what asks for it", async () => {
  const text = shopText(
    USES,
    targetedText({ rules: [{ when: [{ key: "destination.ip", values: ["10.96.0.1"] }] }] }),
  );
  const decision = await ask(text.replace('"clusterIP":"10.96.0.1",', ""));
  assert.deepEqual([decision.reason, decision.cause, decision.hop], ["unknown", "address-unknown", "m/wp"]);
});

test("a waypoint takes the ports that the service declares and no other", async () => {
  const decision = await ask(shopText(), { to: { service: "s.m", port: 8080 } });
  assert.deepEqual([decision.allowed, decision.reason, decision.hop], [false, "no-chain", "m/wp"]);
  assert.match(
    decision.explanation.join("\n"),
    /declares no port 8080, so that its waypoint takes nothing there/,
  );
});

test("at a waypoint the service's protocol decides between HTTP and TCP; undeclared it is detected", async () => {
  const text = shopText(USES, targetedText(GET("/ok")));
  assert.equal((await ask(text, { path: "/ok" })).allowed, true);
  assert.equal((await ask(text, { to: { service: "s.m", port: 90 }, path: "/ok" })).allowed, true);
  assert.equal((await ask(text, { to: { service: "s.m", port: 90 }, protocol: "tcp" })).allowed, false);
  assert.equal(
    (await ask(text, { to: { service: "s.m", port: 9000 }, path: "/ok" })).cause,
    "no-allow-matched",
  );
  const deny = shopText(USES, targetedText(denial({ to: [{ operation: { methods: ["PUT"] } }] })));
  assert.equal(
    (await ask(deny, { to: { service: "s.m", port: 9000 }, protocol: "tcp" })).cause,
    "deny-matched",
  );
});

test("TLS inside of the tunnel is bytes; its server name is seen on ports that are declared as TLS", async () => {
  const sni = shopText(
    USES,
    targetedText({ rules: [{ when: [{ key: "connection.sni", values: ["a.example"] }] }] }),
  );
  const tls = { protocol: "tls", sni: "a.example" } as const;
  assert.equal((await ask(sni, { ...tls, to: { service: "s.m", port: 443 } })).allowed, true);
  assert.equal(
    (await ask(sni, { ...tls, sni: "b.example", to: { service: "s.m", port: 443 } })).allowed,
    false,
  );
  assert.equal((await ask(sni, { ...tls, to: { service: "s.m", port: 9000 } })).allowed, false);
  assert.equal((await ask(shopText(), { ...tls })).cause, "bad-request");
});

test("RequestAuthentication with targetRefs is enforced by the waypoint, a selector's by nobody in ambient mode", async () => {
  const rules = { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}', presence: "REQUIRED" }] };
  const by = await ask(shopText(USES, tokenText("m", "t", { targetRefs: [SERVICE_REF], ...rules })));
  assert.deepEqual(
    [by.allowed, by.code, by.hop, by.policy],
    [false, 401, "m/wp", "RequestAuthentication m/t"],
  );
  const selected = tokenText("m", "t", { selector: { matchLabels: { app: "s" } }, ...rules });
  assert.equal((await ask(shopText(USES, selected))).allowed, true);
});

test("claims are rules' business at a waypoint", async () => {
  const rules = { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] };
  const claim = { rules: [{ when: [{ key: "request.auth.claims[role]", values: ["admin"] }] }] };
  const text = shopText(
    USES,
    tokenText("m", "t", { targetRefs: [SERVICE_REF], ...rules }) + targetedText(claim),
  );
  assert.equal((await ask(text, { jwt: { claims: { iss: "i", role: "admin" } } })).allowed, true);
  assert.equal((await ask(text, { jwt: { claims: { iss: "i", role: "user" } } })).allowed, false);
});

test("CUSTOM comes first at a waypoint, and its answer is not guessed", async () => {
  const config = meshConfigText({
    extensionProviders: [{ name: "x", envoyExtAuthzHttp: { service: "s.m.svc.cluster.local", port: 80 } }],
  });
  const text = shopText(
    USES,
    config + targetedText({ action: "CUSTOM", provider: { name: "x" }, rules: [{}] }),
  );
  assert.deepEqual((await ask(text)).cause, "ext-authz-unanswered");
  assert.equal((await ask(text, { extAuthz: "allow" })).allowed, true);
  assert.equal((await ask(text, { extAuthz: "deny" })).cause, "ext-authz-denied");
});

test("HBONE to a waypoint is always mutual TLS, of the mesh's trust domain or an alias, whatever PeerAuthentication says", async () => {
  const config = meshConfigText({ trustDomain: "cluster.local", trustDomainAliases: ["old"] });
  const off = peerText("m", "off", { mtls: { mode: "DISABLE" } });
  assert.equal((await ask(shopText(USES, config + off))).allowed, true);
});

test("X-Forwarded-Client-Cert: a waypoint removes the client's own, and sets one only where its pods are annotated so", async () => {
  const rule = (value: string): object => ({
    rules: [{ when: [{ key: "request.headers[x-forwarded-client-cert]", values: [value] }] }],
  });
  const forged = { headers: [["x-forwarded-client-cert", "URI=forged"]] } as const;
  assert.equal((await ask(shopText(USES, targetedText(rule("*"))), forged)).allowed, false);
  const annotated = shopText(
    USES,
    targetedText(rule("By=spiffe://cluster.local/ns/m/sa/wp;URI=spiffe://cluster.local/ns/m/sa/c")),
  ).replace(
    '"istio.io/dataplane-mode":"none","sidecar.istio.io/inject":"false"}',
    '"istio.io/dataplane-mode":"none","sidecar.istio.io/inject":"false"},"annotations":{"ambient.istio.io/xfcc-include-client-identity":"true"}',
  );
  assert.equal((await ask(annotated, forged)).allowed, true);
});

const V2 =
  ambientPodText("m", "t", "10.1.0.3") +
  boundServiceText({}, { selector: { app: "t" }, clusterIP: "10.96.0.3" }, "m", "t");
const toOther = (namespace: string, more: object = {}): string =>
  routeText(namespace, "r", {
    hosts: ["s.m.svc.cluster.local"],
    http: [{ ...more, route: [{ destination: { host: "t.m.svc.cluster.local", port: { number: 80 } } }] }],
  });
const reaches = (decision: Decision): string | undefined => decision.hops.at(-1)?.hop;

test("VirtualServices of the service's namespace, or of the waypoint's, count at the waypoint; a client's own do not", async () => {
  assert.equal(reaches(await ask(shopText(USES, V2 + toOther("m")))), "m/t");
  assert.equal(reaches(await ask(shopText(USES, V2 + toOther("k")))), "m/s");
  assert.equal(reaches(await ask(shopText({}, V2 + toOther("m")))), "m/s");
});

test("at a waypoint conditions on a client's labels never hold, those on its namespace mean the waypoint's", async () => {
  const match = (condition: object): object => ({ match: [condition] });
  assert.equal(
    (await ask(shopText(USES, V2 + toOther("m", match({ sourceLabels: { app: "c" } }))))).hops.at(-1)?.hop,
    "m/s",
  );
  assert.equal(reaches(await ask(shopText(USES, V2 + toOther("m", match({ sourceNamespace: "m" }))))), "m/t");
  assert.equal(reaches(await ask(shopText(USES, V2 + toOther("m", match({ sourceNamespace: "k" }))))), "m/s");
  assert.equal(reaches(await ask(shopText(USES, V2 + toOther("m", match({ port: 81 }))))), "m/s");
});

test("what none of the waypoint's routes takes gets 404", async () => {
  const decision = await ask(shopText(USES, V2 + toOther("m", { match: [{ uri: { prefix: "/t" } }] })), {
    path: "/s",
  });
  assert.deepEqual([decision.code, decision.cause, decision.hop], [404, "no-route", "m/wp"]);
});

test("an HTTPRoute whose parent is the service is followed at the waypoint", async () => {
  const route = resourceText("gateway.networking.k8s.io/v1", "HTTPRoute", "m", "r", {
    parentRefs: [{ kind: "Service", group: "", name: "s" }],
    rules: [
      { matches: [{ headers: [{ name: "x-v", value: "2" }] }], backendRefs: [{ name: "t", port: 80 }] },
      { backendRefs: [{ name: "s", port: 80 }] },
    ],
  });
  const text = shopText(USES, V2 + route);
  assert.equal(reaches(await ask(text, { headers: [["x-v", "2"]] })), "m/t");
  assert.equal(reaches(await ask(text)), "m/s");
  assert.equal((await ask(text)).hops[1]?.to, "inbound-vip|80|http|s.m.svc.cluster.local");
});

test("tcp routes count at the waypoint, and tls routes that name the service alone", async () => {
  const l4 = (section: string, match: object): string =>
    routeText("m", "r", {
      hosts: ["s.m.svc.cluster.local"],
      [section]: [
        {
          match: [match],
          route: [{ destination: { host: "t.m.svc.cluster.local", port: { number: 9000 } } }],
        },
      ],
    });
  const bytes = { to: { service: "s.m", port: 9000 }, protocol: "tcp" } as const;
  assert.equal(reaches(await ask(shopText(USES, V2 + l4("tcp", { port: 9000 })), bytes)), "m/t");
  assert.equal(reaches(await ask(shopText(USES, V2 + l4("tcp", { port: 9001 })), bytes)), "m/s");
  assert.equal(
    reaches(await ask(shopText(USES, V2 + l4("tcp", { sourceLabels: { app: "c" } })), bytes)),
    "m/s",
  );
  const tls = (name: string): string => shopText(USES, V2 + l4("tls", { sniHosts: [name] }));
  const own = { to: { service: "s.m", port: 443 }, protocol: "tls", sni: "s.m.svc.cluster.local" } as const;
  assert.equal(reaches(await ask(tls("s.m.svc.cluster.local"), own)), "m/t");
});

test("a waypoint speaks HBONE to pods that take it, clear text to those that do not", async () => {
  const sidecar = (labels: Readonly<Record<string, string>>): string =>
    shopText().replace(
      ambientPodText("m", "s", "10.1.0.2"),
      podText("m", "s", {
        ip: "10.1.0.2",
        labels: { "istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "true", ...labels },
      }),
    );
  const strict = peerText("m", "strict", { mtls: { mode: "STRICT" } });
  const clear = await ask(sidecar({}) + strict);
  assert.deepEqual([clear.allowed, clear.cause, ...hops(clear)], [false, "no-chain", ...BY_WAYPOINT]);
  const tunnel = { "networking.istio.io/tunnel": "http" };
  const hbone = await ask(
    sidecar(tunnel) + strict + authorizationText("m", "p", { ...from("cluster.local/ns/m/sa/wp") }),
  );
  assert.deepEqual([hbone.allowed, hbone.policy], [true, P]);
});

test("ztunnel speaks HBONE to a sidecar that takes it, else clear text", async () => {
  const mesh = (labels: Readonly<Record<string, string>>, more = ""): string =>
    [
      namespaceText("m", AMBIENT),
      ambientPodText("m", "c", "10.1.0.1"),
      podText("n", "s", { ip: "10.4.0.1", labels }),
      boundServiceText({}, {}, "n"),
      authorizationText("n", "p", from("cluster.local/ns/m/sa/c")),
      more,
    ].join("");
  const to = { service: "s.n", port: 80 };
  const label = { "networking.istio.io/tunnel": "http" };
  assert.deepEqual(said(await ask(mesh({}), { to })), [false, "no-allow-matched", "n/s", null]);
  assert.deepEqual(said(await ask(mesh(label), { to })), [
    true,
    "allow-matched",
    "n/s",
    "AuthorizationPolicy n/p",
  ]);
  const off = peerText("n", "off", { mtls: { mode: "DISABLE" } });
  assert.equal((await ask(mesh(label, off), { to })).allowed, true);
  const on = peerText("n", "on", { mtls: { mode: "STRICT" } });
  assert.equal((await ask(mesh(label, on), { to })).allowed, true);
  assert.equal((await ask(mesh({}, on), { to })).cause, "no-chain");
});

test("sidecars and gateways speak HBONE to pods in ambient mode, whatever PeerAuthentication and DestinationRules say", async () => {
  const named = authorizationText("m", "p", from("cluster.local/ns/k/sa/c"));
  const off = peerText("m", "off", { mtls: { mode: "DISABLE" } });
  const plain = destinationText("m", "d", {
    host: "s.m.svc.cluster.local",
    trafficPolicy: { tls: { mode: "DISABLE" } },
  });
  for (const more of ["", off, plain]) {
    const decision = await ask(shopText({}, WEB + named + more), { from: { workload: "k/c" } });
    assert.deepEqual([decision.allowed, decision.tls, decision.sans], [true, "hbone", undefined]);
  }
  const gateway = authorizationText("m", "p", from("cluster.local/ns/g/sa/g"));
  assert.equal((await ask(shopText({}, INGRESS + gateway), VIA)).allowed, true);
});

test("to a headless service with a pod in ambient mode sidecars speak in clear, as to any pod without one", async () => {
  const named = authorizationText("m", "p", from("cluster.local/ns/k/sa/c"));
  const headless = shopText({}, WEB + named).replace('"clusterIP":"10.96.0.1"', '"clusterIP":"None"');
  const decision = await ask(headless, {
    from: { workload: "k/c" },
    to: { service: "s.m", port: 8080 },
    protocol: "tcp",
  });
  assert.deepEqual([decision.allowed, decision.hop], [false, "m/s"]);
});

test("what cannot be told of a waypoint is unknown, with the reason", async () => {
  const unknown = async (text: string, why: RegExp): Promise<void> => {
    const decision = await ask(text);
    assert.deepEqual(
      [decision.allowed, decision.reason, decision.cause],
      [false, "unknown", "waypoint-unknown"],
    );
    assert.match(decision.explanation.join("\n"), why);
  };
  await unknown(
    shopText().replace(waypointText(), waypointText({ className: "other" })),
    /is of class `other`/,
  );
  await unknown(
    shopText({ ...USES, "istio.io/use-waypoint-canary": "wp2" }),
    /shares its traffic with a canary/,
  );
  const annotations = { "ambient.istio.io/waypoint-inbound-binding": "PROXY/15088" };
  await unknown(shopText().replace(waypointText(), waypointText({ annotations })), /is bound in its own way/);
});

test("a waypoint's pods that no file has are those that Istio deploys: account and name are the Gateway's", async () => {
  const { mesh, stockGateways } = await meshFrom(shopText().replace(waypointPodText(), ""));
  assert.deepEqual(
    stockGateways.map(({ workload }) => workload),
    ["m/wp"],
  );
  const [service] = mesh.services;
  assert.ok(service !== undefined);
  const binding = waypointOfService(mesh, service);
  assert.equal(
    binding.kind === "bound" ? binding.waypoint.workload?.spiffeId : "",
    "spiffe://cluster.local/ns/m/sa/wp",
  );
});

test("a waypoint has no waypoint", async () => {
  const { mesh } = await meshFrom(
    shopText(USES).replace(waypointText(), waypointText({ labels: { "istio.io/waypoint-for": "all" } })),
  );
  const own = mesh.workloads.find(({ key }) => key === "m/wp");
  assert.ok(own !== undefined);
  assert.deepEqual(waypointOfWorkload(mesh, own), { kind: "none" });
});

test("where the sidecar mode decides otherwise than the waypoint, it is told", async () => {
  const decision = await ask(shopText(USES, targetedText(denial({}))), {}, { compareModes: true });
  assert.deepEqual(
    [decision.allowed, decision.otherMode?.mode, decision.otherMode?.allowed],
    [false, "sidecar", true],
  );
  assert.match(
    decision.otherMode?.why.join("\n") ?? "",
    /here a waypoint enforces the policies that name targets/,
  );
});

test("what is for a pod's own address goes on through HBONE, or not at all", async () => {
  const workload = waypointText({ labels: { "istio.io/waypoint-for": "workload" } });
  const clear = podText("m", "s", {
    ip: "10.1.0.2",
    labels: { "istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "true" },
  });
  const text = shopText()
    .replace(waypointText(), workload)
    .replace(ambientPodText("m", "s", "10.1.0.2"), clear);
  const decision = await ask(text, { to: { host: "10.1.0.2", port: 8080 } });
  assert.deepEqual([decision.allowed, decision.code, decision.cause], [false, 503, "no-hbone"]);
});

test("traffic to a pod's own address: policies of the Gateway and of the class, none of a Service; any port, detected", async () => {
  const mesh = (more: string): string =>
    shopText(USES, more).replace(
      waypointText(),
      waypointText({ labels: { "istio.io/waypoint-for": "all" } }),
    );
  const to = { host: "10.1.0.2", port: 8080 };
  const get = { rules: [{ to: [{ operation: { paths: ["/ok"], ports: ["8080"] } }] }] };
  assert.equal((await ask(mesh(targetedText(denial({}))), { to })).allowed, true);
  assert.equal(
    (await ask(mesh(targetedText(get, { refs: [GATEWAY_REF] })), { to, path: "/ok" })).allowed,
    true,
  );
  assert.equal(
    (await ask(mesh(targetedText(get, { refs: [GATEWAY_REF] })), { to, path: "/no" })).hop,
    "m/wp",
  );
  assert.equal(
    (await ask(mesh(targetedText(get, { refs: [GATEWAY_REF] })), { to, protocol: "tcp" })).allowed,
    false,
  );
  const whole = { namespace: "istio-system", refs: [CLASS_REF] };
  assert.equal((await ask(mesh(targetedText(denial({}), whole)), { to })).allowed, false);
});

test("a waypoint adds nothing to X-Forwarded-For, and takes the last address of it for the client's", async () => {
  const header = (name: string, value: string): object => ({
    rules: [{ when: [{ key: `request.headers[${name}]`, values: [value] }] }],
  });
  const remote = (block: string): object => ({
    rules: [{ from: [{ source: { remoteIpBlocks: [block] } }] }],
  });
  const forwarded = { headers: [["x-forwarded-for", "192.0.2.1, 192.0.2.2"]] } as const;
  for (const [rule, request, allowed] of [
    [header("x-forwarded-for", "*"), {}, false],
    [header("x-forwarded-for", "192.0.2.1, 192.0.2.2"), forwarded, true],
    [header("x-forwarded-proto", "http"), {}, true],
    [header("x-forwarded-proto", "https"), {}, false],
    [remote("192.0.2.2"), forwarded, true],
    [remote("192.0.2.1"), forwarded, false],
    [remote("10.1.0.1"), {}, true],
  ] as const)
    assert.equal(
      (await ask(shopText(USES, targetedText(rule)), request)).allowed,
      allowed,
      JSON.stringify(rule),
    );
});

test("DestinationRules at a waypoint: TLS that is written out is spoken to pods without HBONE, the mesh's own is not", async () => {
  const clear = podText("m", "s", {
    ip: "10.1.0.2",
    labels: { "istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "true" },
  });
  const mesh = (mode: string): string =>
    shopText(
      USES,
      destinationText("m", "d", { host: "s.m.svc.cluster.local", trafficPolicy: { tls: { mode } } }),
    ).replace(ambientPodText("m", "s", "10.1.0.2"), clear);
  const mutual = await ask(mesh("ISTIO_MUTUAL") + peerText("m", "strict", { mtls: { mode: "STRICT" } }));
  assert.deepEqual([mutual.allowed, mutual.cause, mutual.hop], [false, "no-chain", "m/s"]);
  const simple = await ask(mesh("SIMPLE"));
  assert.deepEqual([simple.allowed, simple.cause, simple.hop], [false, "no-chain", "m/s"]);
});

test("a gateway's DestinationRule with TLS of its own in the tunnel to a waypoint: what comes of that is unknown", async () => {
  const use = { ...USES, "istio.io/ingress-use-waypoint": "true" };
  const rule = destinationText("m", "d", {
    host: "s.m.svc.cluster.local",
    trafficPolicy: { tls: { mode: "SIMPLE" } },
  });
  const decision = await ask(shopText(use, INGRESS + rule), VIA);
  assert.deepEqual([decision.reason, decision.cause], ["unknown", "waypoint-unknown"]);
});

test("CUSTOM policies at a sidecar that is reached through HBONE are unknown, with the reason", async () => {
  const config = meshConfigText({
    extensionProviders: [{ name: "x", envoyExtAuthzGrpc: { service: "s.n.svc.cluster.local", port: 80 } }],
  });
  const text = [
    namespaceText("m", AMBIENT),
    ambientPodText("m", "c", "10.1.0.1"),
    podText("n", "s", { ip: "10.4.0.1", labels: { "networking.istio.io/tunnel": "http" } }),
    boundServiceText({}, {}, "n"),
    authorizationText("n", "p", { action: "CUSTOM", provider: { name: "x" }, rules: [{}] }),
    config,
  ].join("");
  const decision = await ask(text, { to: { service: "s.n", port: 80 } });
  assert.deepEqual([decision.reason, decision.cause], ["unknown", "ambient-to-sidecar"]);
});

test("templates take HBONE where the mesh, or their own annotation, switches it on; files without mesh settings as of the ambient profile", async () => {
  const settings = (value: string): object => ({ proxyMetadata: { ISTIO_META_ENABLE_HBONE: value } });
  const mesh = (config: string, annotations: object = {}): string => {
    const labels = { app: "s", "sidecar.istio.io/inject": "true" };
    const template = {
      metadata: { labels, annotations },
      spec: {
        serviceAccountName: "s",
        containers: [{ name: "app", image: "app", ports: [{ containerPort: 8080 }] }],
      },
    };
    return [
      namespaceText("m", AMBIENT),
      ambientPodText("m", "c", "10.1.0.1"),
      resourceText("apps/v1", "Deployment", "n", "s", { selector: { matchLabels: { app: "s" } }, template }),
      boundServiceText({}, {}, "n"),
      authorizationText("n", "p", from("cluster.local/ns/m/sa/c")),
      config,
    ].join("");
  };
  const to = { service: "s.n", port: 80 };
  const allowed = async (text: string): Promise<boolean> => (await ask(text, { to })).allowed;
  assert.equal(await allowed(mesh("")), true);
  assert.equal(await allowed(mesh(meshConfigText({ enableAutoMtls: true }))), false);
  assert.equal(await allowed(mesh(meshConfigText({ defaultConfig: settings("true") }))), true);
  assert.equal(await allowed(mesh(meshConfigText({ defaultConfig: settings("false") }))), false);
  const own = { "proxy.istio.io/config": JSON.stringify(settings("true")) };
  assert.equal(await allowed(mesh(meshConfigText({ defaultConfig: settings("false") }), own)), true);
  const off = { "proxy.istio.io/config": JSON.stringify(settings("false")) };
  assert.equal(await allowed(mesh("", off)), false);
  assert.equal(
    await allowed(mesh(meshConfigText({ enableAutoMtls: true }), { "proxy.istio.io/config": "{" })),
    false,
  );
});
