import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffMesh, type WholeDiff } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

const SEED = Number(process.env.PROXY_SEED ?? 4);
const RUNS = Number(process.env.PROXY_RUNS ?? 2);

type Json = Readonly<Record<string, unknown>>;

function made(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  spec: Json,
  labels: Json = {},
): Resource {
  const metadata = { name, labels, ...(namespace === "" ? {} : { namespace }) };
  return resourceFromJson({ apiVersion, kind, metadata, spec }, { file: "x", createdAt: 0 });
}

function deployment(namespace: string, name: string, labels: Json = {}): Resource {
  const own = { app: name, ...labels };
  const template = {
    metadata: { labels: own },
    spec: { serviceAccountName: name, containers: [{ name: "c" }] },
  };
  return made("apps/v1", "Deployment", namespace, name, { selector: { matchLabels: own }, template });
}

function service(namespace: string, name: string, clusterIP: string, ports: readonly Json[]): Resource {
  return made("v1", "Service", namespace, name, { clusterIP, selector: { app: name }, ports });
}

const NETWORKING = "networking.istio.io/v1";
const SECURITY = "security.istio.io/v1";

const METHODS = ["GET", "POST"];
const PATHS = ["/a", "/a/*", "/b"];
const rule = fc.record(
  {
    from: fc.constantFrom<Json[]>(
      [{ source: { principals: ["cluster.local/ns/shop/sa/one"] } }],
      [{ source: { namespaces: ["other"] } }],
      [{ source: { notPrincipals: ["*"] } }],
      [{ source: { requestPrincipals: ["*"] } }],
    ),
    to: fc
      .record(
        {
          methods: fc.subarray(METHODS, { minLength: 1 }),
          paths: fc.subarray(PATHS, { minLength: 1 }),
          hosts: fc.constantFrom(["a.example"], ["*.example"]),
        },
        { requiredKeys: [] },
      )
      .filter((operation) => Object.keys(operation).length > 0)
      .map((operation) => [{ operation }]),
  },
  { requiredKeys: [] },
);
const policy = fc.record({
  action: fc.constantFrom("ALLOW", "DENY"),
  rules: fc.array(rule, { minLength: 1, maxLength: 2 }),
});

const uri = fc.constantFrom<Json>({ exact: "/a" }, { prefix: "/a" }, { prefix: "/" });
const match = fc.record(
  {
    uri,
    method: fc.constantFrom({ exact: "GET" }, { exact: "POST" }),
    headers: fc.constant({ "x-user": { exact: "me" } }),
  },
  { requiredKeys: ["uri"] },
);
const httpRoutes = (hosts: readonly string[]) =>
  fc.array(
    fc
      .record({ match: fc.array(match, { maxLength: 2 }), host: fc.constantFrom(...hosts) })
      .map(({ match: own, host }) => ({
        ...(own.length === 0 ? {} : { match: own }),
        route: [{ destination: { host, port: { number: 80 } } }],
      })),
    { minLength: 1, maxLength: 2 },
  );

const ONE = "one.shop.svc.cluster.local";
const TWO = "two.shop.svc.cluster.local";
const TOKENS = { jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}' }] };

/** A gateway. */
const EDGE: readonly Resource[] = [
  made("v1", "Namespace", "", "edge", {}, { "istio-injection": "enabled" }),
  made("v1", "Namespace", "", "shop", {}, { "istio-injection": "enabled" }),
  made("v1", "Namespace", "", "other", {}, { "istio-injection": "enabled" }),
  deployment("edge", "ingress", { istio: "ingress" }),
  ...["one", "two"].map((name) => deployment("shop", name)),
  deployment("other", "caller"),
  service("edge", "ingress", "10.0.0.1", [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "https", port: 443, targetPort: 8443 },
  ]),
  service("shop", "one", "10.0.0.2", [{ name: "http", port: 80 }]),
  service("shop", "two", "10.0.0.3", [{ name: "http", port: 80 }]),
];

const hosts = fc.constantFrom(["*"], ["*"], ["a.example"], ["*.example"]);
const tlsMode = fc.constantFrom<Json>(
  { mode: "SIMPLE", credentialName: "c" },
  { mode: "ISTIO_MUTUAL" },
  { mode: "PASSTHROUGH" },
  { mode: "MUTUAL", credentialName: "c" },
);
const gateway = fc
  .record({
    clear: fc.option(hosts, { nil: undefined, freq: 9 }),
    secure: fc.option(fc.record({ hosts, tls: tlsMode }), { nil: undefined }),
  })
  .map(({ clear, secure }) => {
    const servers: Json[] = [];
    if (clear !== undefined)
      servers.push({ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: clear });
    if (secure !== undefined) {
      const protocol = secure.tls.mode === "PASSTHROUGH" ? "TLS" : "HTTPS";
      servers.push({ port: { number: 443, name: "secure", protocol }, ...secure });
    }
    return { selector: { istio: "ingress" }, servers };
  })
  .filter(({ servers }) => servers.length > 0);

const edgeResources: fc.Arbitrary<Resource[]> = fc
  .record({
    gateway,
    routes: fc.array(
      fc.record({
        hosts: fc.constantFrom(["a.example"], ["*.example"], ["b.other"]),
        http: httpRoutes([ONE, TWO]),
      }),
      { minLength: 1, maxLength: 2 },
    ),
    passed: fc.boolean(),
    policies: fc.array(policy, { maxLength: 2 }),
    tokens: fc.boolean(),
  })
  .map(({ gateway: spec, routes, passed, policies, tokens }) => [
    made(NETWORKING, "Gateway", "edge", "g", spec),
    ...routes.map((own, at) =>
      made(NETWORKING, "VirtualService", "shop", `v${at}`, {
        ...own,
        gateways: ["edge/g"],
        ...(passed
          ? {
              tls: [
                {
                  match: [{ port: 443, sniHosts: own.hosts }],
                  route: [{ destination: { host: TWO, port: { number: 80 } } }],
                },
              ],
            }
          : {}),
      }),
    ),
    ...policies.map((own, at) =>
      made(SECURITY, "AuthorizationPolicy", "edge", `p${at}`, {
        ...own,
        selector: { matchLabels: { app: "ingress" } },
      }),
    ),
    ...(tokens ? [made(SECURITY, "RequestAuthentication", "edge", "t", TOKENS)] : []),
  ]);

/** Waypoints. */
const AMBIENT: readonly Resource[] = [
  made("v1", "Namespace", "", "shop", {}, { "istio.io/dataplane-mode": "ambient" }),
  made("v1", "Namespace", "", "other", {}, { "istio.io/dataplane-mode": "ambient" }),
  deployment("shop", "wp", {
    "gateway.networking.k8s.io/gateway-name": "wp",
    "gateway.istio.io/managed": "istio.io-mesh-controller",
  }),
  ...["one", "two"].map((name) => deployment("shop", name)),
  deployment("other", "caller"),
  service("shop", "two", "10.0.0.3", [{ name: "http", port: 80 }]),
];

const waypointResources: fc.Arbitrary<Resource[]> = fc
  .record({
    isUsed: fc.integer({ min: 0, max: 3 }),
    policies: fc.array(policy, { maxLength: 3 }),
    tokens: fc.boolean(),
    routes: fc.option(httpRoutes([ONE, TWO]), { nil: undefined }),
  })
  .map(({ isUsed, policies, tokens, routes }) => {
    const targetRefs = [{ kind: "Service", group: "", name: "one" }];
    const labels = isUsed === 0 ? {} : { "istio.io/use-waypoint": "wp" };
    const spec = { clusterIP: "10.0.0.2", selector: { app: "one" }, ports: [{ name: "http", port: 80 }] };
    return [
      made("v1", "Service", "shop", "one", spec, labels),
      made("gateway.networking.k8s.io/v1", "Gateway", "shop", "wp", {
        gatewayClassName: "istio-waypoint",
        listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
      }),
      ...policies.map((own, at) =>
        made(SECURITY, "AuthorizationPolicy", "shop", `p${at}`, { ...own, targetRefs }),
      ),
      ...(tokens ? [made(SECURITY, "RequestAuthentication", "shop", "t", { ...TOKENS, targetRefs })] : []),
      ...(routes === undefined
        ? []
        : [made(NETWORKING, "VirtualService", "shop", "v", { hosts: [ONE], http: routes })]),
    ];
  });

const CALL = {
  path: fc.constantFrom("/", "/a", "/a/x", "/b", "/c"),
  method: fc.constantFrom("GET", "POST", "PUT"),
  headers: fc.constantFrom<(readonly [string, string])[]>([], [["x-user", "me"]], [["x-user", "you"]]),
  jwt: fc.constantFrom(undefined, { claims: { iss: "iss", sub: "s" } }),
};

const fromOutside: fc.Arbitrary<AccessRequest> = fc
  .record({
    ...CALL,
    host: fc.constantFrom("a.example", "a.example", "x.example", "b.other", "c.other"),
    port: fc.constantFrom(80, 80, 443, 8080),
    sni: fc.constantFrom(undefined, undefined, "a.example", "x.example", "b.other"),
    principal: fc.constantFrom(
      null,
      null,
      null,
      "cluster.local/ns/shop/sa/one",
      "cluster.local/ns/other/sa/caller",
    ),
    protocol: fc.constantFrom("http" as const, "http" as const, "tls" as const, "tcp" as const),
  })
  .map(({ host, port, sni, principal, protocol, path, method, headers, jwt }) => {
    const isTls = sni !== undefined && principal === null;
    const spoken = protocol === "http" ? "http" : isTls ? "tls" : "tcp";
    const http =
      spoken === "http" ? { path, method, host, headers, ...(jwt === undefined ? {} : { jwt }) } : {};
    return {
      from: { principal, ...(isTls && spoken === "http" ? { tls: "simple" as const } : {}) },
      via: "edge/ingress",
      to: { host, port },
      protocol: spoken,
      ...(sni === undefined ? {} : { sni }),
      ...http,
    };
  });

const fromInside: fc.Arbitrary<AccessRequest> = fc
  .record({
    ...CALL,
    workload: fc.constantFrom("shop/one", "shop/two", "other/caller"),
    host: fc.constantFrom("a.example", "x.example", ONE),
    port: fc.constantFrom(80, 81),
    isHttp: fc.constantFrom(true, true, false),
  })
  .map(({ workload, host, port, isHttp, path, method, headers, jwt }) => ({
    from: { workload },
    to: { service: ONE, port },
    protocol: isHttp ? "http" : "tcp",
    ...(isHttp ? { path, method, host, headers, ...(jwt === undefined ? {} : { jwt }) } : {}),
  }));

interface Answer {
  readonly allowed: boolean;
  readonly text: string;
}

async function ask(mesh: Mesh, request: AccessRequest, semantics: "istio" | "strict"): Promise<Answer> {
  const [decision] = await can(mesh, [request], { semantics });
  const { allowed, hops } = decision ?? assert.fail();
  return { allowed, text: JSON.stringify([allowed, allowed ? hops.map(({ to }) => to) : []]) };
}

/** Whether nothing was told that could be about it: then no answer may differ. */
function isTold({ proxies, notAnalysed }: WholeDiff, isWider: boolean, moved: boolean): boolean {
  return notAnalysed.length > 0 || proxies.some(({ change }) => moved || (change === "widened") === isWider);
}

interface Tally {
  witnesses: number;
  heldBack: number;
  flips: number;
  quiet: number;
}

async function hold(
  fixed: readonly Resource[],
  [old, now]: readonly [readonly Resource[], readonly Resource[]],
  calls: readonly AccessRequest[],
  semantics: "istio" | "strict",
  tally: Tally,
): Promise<void> {
  const [before, after] = [buildMesh([...fixed, ...old]), buildMesh([...fixed, ...now])];
  const diff = await diffMesh(before, after, { semantics });
  for (const { witness, heldBack, change, gained, lost } of diff.proxies) {
    if (heldBack === true) {
      tally.heldBack++;
      continue;
    }
    tally.witnesses++;
    const [was, is] = [await ask(before, witness, semantics), await ask(after, witness, semantics)];
    assert.notEqual(was.text, is.text, JSON.stringify([witness, change, gained, lost]));
    if (was.allowed !== is.allowed && lost.length * gained.length === 0)
      assert.equal(is.allowed, change === "widened", JSON.stringify(witness));
  }
  for (const call of calls) {
    const [was, is] = [await ask(before, call, semantics), await ask(after, call, semantics)];
    if (was.text === is.text) {
      tally.quiet++;
      continue;
    }
    tally.flips++;
    const isMoved = was.allowed === is.allowed;
    assert.ok(isTold(diff, is.allowed, isMoved), `${JSON.stringify(call)}: ${was.text} ${is.text}`);
  }
}

for (const semantics of ["istio", "strict"] as const) {
  test(`gateways, ${semantics}: every witness flips, and random requests only where a change was told`, async () => {
    const tally: Tally = { witnesses: 0, heldBack: 0, flips: 0, quiet: 0 };
    await fc.assert(
      fc.asyncProperty(
        edgeResources,
        edgeResources,
        fc.array(fromOutside, { minLength: 20, maxLength: 20 }),
        (old, now, calls) => hold(EDGE, [old, now], calls, semantics, tally),
      ),
      { seed: SEED, numRuns: RUNS },
    );
    if (process.env.PROXY_RUNS !== undefined) console.log("gateways", semantics, tally);
    assert.ok(tally.witnesses > RUNS && tally.flips > RUNS / 4, JSON.stringify(tally));
  });

  test(`waypoints, ${semantics}: every witness flips, and random requests only where a change was told`, async () => {
    const tally: Tally = { witnesses: 0, heldBack: 0, flips: 0, quiet: 0 };
    await fc.assert(
      fc.asyncProperty(
        waypointResources,
        waypointResources,
        fc.array(fromInside, { minLength: 20, maxLength: 20 }),
        (old, now, calls) => hold(AMBIENT, [old, now], calls, semantics, tally),
      ),
      { seed: SEED, numRuns: 3 * RUNS },
    );
    if (process.env.PROXY_RUNS !== undefined) console.log("waypoints", semantics, tally);
    assert.ok(tally.witnesses > RUNS / 2 && tally.flips > RUNS / 2, JSON.stringify(tally));
  });
}

test("a Gateway whose ports another has taken is compared by its pods; why one is not is said as it is", async () => {
  const gateway = (name: string, selector: Json): Resource =>
    made(NETWORKING, "Gateway", "edge", name, {
      selector,
      servers: [
        {
          port: { number: 8443, name: "tls", protocol: "TLS" },
          hosts: ["a.example"],
          tls: { mode: "PASSTHROUGH" },
        },
      ],
    });
  const port = {
    metadata: { labels: { app: "own" } },
    spec: { containers: [{ name: "c", ports: [{ containerPort: 1 }] }] },
  };
  const own = made("apps/v1", "Deployment", "edge", "own", {
    selector: { matchLabels: { app: "own" } },
    template: port,
  });
  const route = (host: string): Resource =>
    made(NETWORKING, "VirtualService", "edge", "v", {
      hosts: ["a.example"],
      gateways: ["first"],
      tls: [
        {
          match: [{ port: 8443, sniHosts: ["a.example"] }],
          route: [{ destination: { host, port: { number: 80 } } }],
        },
      ],
    });
  const why = async (...gateways: readonly Resource[]): Promise<readonly string[]> => {
    const meshes = [ONE, TWO].map((host) => buildMesh([...EDGE, own, ...gateways, route(host)]));
    const [before = assert.fail(), after = assert.fail()] = meshes;
    const { notAnalysed } = await diffMesh(before, after, { semantics: "istio" });
    return notAnalysed.map(({ workloads, why: told }) => `${workloads.join()}: ${told}`);
  };
  const first = gateway("first", { istio: "ingress" });
  assert.deepEqual(await why(first, gateway("second", { istio: "ingress" })), []);
  const [application = "", ...others] = await why(first, gateway("second", { app: "own" }));
  assert.match(application, /^Gateway edge\/second: the pods that it selects are taken for an application's/);
  assert.deepEqual(others, []);
  const [absent = ""] = await why(first, gateway("second", { app: "nobody" }));
  assert.match(absent, /^Gateway edge\/second: it is not served by pods that are in the files of both/);
});
