/** The map with the mesh's own policies: each line holds what `can` allows, and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { accessLines } from "../../src/analysis/map/access-lines.ts";
import { type AccessEntry, accessMap } from "../../src/analysis/map/access-map.ts";
import type { SampleRequest } from "../../src/analysis/space/request-space.ts";
import { can } from "../../src/index.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import { addressRange, liesIn } from "../../src/policy/network/address-range.ts";
import { decideNetwork } from "../../src/policy/network/decide-network.ts";
import { networkPod } from "../../src/policy/network/network-pod.ts";
import { networkPolicies } from "../../src/policy/network/network-policies.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";
import { type ArbitraryCall, arbitraryCall, arbitraryPolicies } from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, meshOf as meshWith, resource } from "../policy/inbound-fixture.ts";
import { meshOf } from "../policy/outbound/mesh-of.ts";
import { holds } from "./map-samples.ts";

const SEED = 20_261_122;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 6);

function pod(namespace: string, name: string, ip: string, labels: Record<string, string> = {}): Resource {
  return resourceFromJson(
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels: { app: name, ...labels } },
      spec: { serviceAccountName: name, containers: [{ name: "c", image: "i" }] },
      status: { podIP: ip },
    },
    { file: "test", createdAt: 0 },
  );
}

const MESH: readonly Resource[] = [
  meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n"),
  pod("foo", "sleep", "10.1.0.5"),
  pod("bar", "admin", "10.1.1.9"),
  pod("bar", "plain", "192.168.7.7", { "sidecar.istio.io/inject": "false" }),
  resource("RequestAuthentication", "tokens", {
    jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
  }),
];

const PEERS = [
  [{ podSelector: { matchLabels: { app: "sleep" } } }],
  [{ namespaceSelector: {} }],
  [{ ipBlock: { cidr: "203.0.0.0/8" } }, { namespaceSelector: {} }],
];
const NETWORK: fc.Arbitrary<readonly Resource[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom("foo", "bar"),
      app: fc.constantFrom("httpbin", "sleep", "admin"),
      direction: fc.constantFrom("ingress", "egress"),
      peers: fc.constantFrom(...PEERS),
      ports: fc.constantFrom(
        [{ port: 8080 }],
        [
          { port: 7000, endPort: 9999 },
          { protocol: "UDP", port: 53 },
        ],
        [],
      ),
    }),
    { maxLength: 2 },
  )
  .map((policies) =>
    policies.map(({ namespace, app, direction, peers, ports }, at) =>
      resourceFromJson(
        {
          apiVersion: "networking.k8s.io/v1",
          kind: "NetworkPolicy",
          metadata: { name: `n${at}`, namespace },
          spec: {
            podSelector: { matchLabels: { app } },
            policyTypes: [direction === "ingress" ? "Ingress" : "Egress"],
            [direction]: [{ [direction === "ingress" ? "from" : "to"]: peers, ports }],
          },
        },
        { file: "test", createdAt: at },
      ),
    ),
  );

const OUTSIDE_IP = "203.0.113.9";
type Source = Workload | "outside";

function sampleFor(call: ArbitraryCall, source: Source, destination: Workload): SampleRequest {
  const isMeshClient = source !== "outside" && source.dataplane === "sidecar";
  return {
    protocol: call.http ? "http" : "tcp",
    port: call.port,
    principal: isMeshClient ? source.spiffeId.slice("spiffe://".length) : null,
    sourceIp: source === "outside" ? OUTSIDE_IP : (source.addresses[0] ?? ""),
    remoteIp: null,
    destinationIp: destination.addresses[0] ?? "",
    sni: isMeshClient ? call.sni : "",
    method: call.method,
    host: call.host.toLowerCase(),
    path: call.path.split("?")[0] ?? "",
    headers: call.headers.flat(),
    claims: call.http ? call.claims : null,
  };
}

function requestFor(call: ArbitraryCall, source: Source, destination: Workload): AccessRequest {
  const isMeshClient = source !== "outside" && source.dataplane === "sidecar";
  return {
    from: source === "outside" ? { ip: OUTSIDE_IP, principal: null } : { workload: source.key },
    to: { workload: destination.key, port: call.port },
    protocol: call.http ? "http" : "tcp",
    ...(isMeshClient ? { sni: call.sni } : {}),
    ...(call.http ? { method: call.method, path: call.path, host: call.host, headers: call.headers } : {}),
    ...(call.http && call.claims !== null ? { jwt: { claims: call.claims } } : {}),
  };
}

function linesFor(entries: readonly AccessEntry[], source: Source, destination: Workload): AccessEntry[] {
  const address = addressRange(OUTSIDE_IP);
  return entries.filter(
    (entry) =>
      entry.destination?.workloads.includes(destination) === true &&
      (source === "outside"
        ? entry.range !== undefined && address !== undefined && liesIn(address, [entry.range])
        : entry.source?.workloads.includes(source) === true),
  );
}

function mayLeave(mesh: Mesh, source: Source, destination: Workload, port: number): boolean {
  if (source === "outside") return true;
  const question = {
    direction: "egress",
    subject: networkPod(mesh, source),
    other: { pod: networkPod(mesh, destination) },
    protocol: "TCP",
    port,
  } as const;
  return decideNetwork(networkPolicies(mesh), question).outcome === "allow";
}

for (const semantics of ["istio", "strict"] as const) {
  test(`a line of the map holds the requests that can allows, between every two pods and from outside (${semantics})`, async () => {
    const seen = { allowed: 0, denied: 0 };
    await fc.assert(
      fc.asyncProperty(
        arbitraryPolicies,
        NETWORK,
        fc.array(arbitraryCall, { minLength: 10, maxLength: 10 }),
        async (policies, network, calls) => {
          const written = policies.map(({ name, namespace, spec }) =>
            authorization(name, { ...spec }, { namespace }),
          );
          const mesh = meshWith(...MESH, ...network, ...written);
          const entries = [...accessMap(mesh, { semantics, blocks: "addresses", keepsRegions: true })];
          for (const source of [...mesh.workloads, "outside"] as const)
            for (const destination of mesh.workloads) {
              if (source === destination) continue;
              const lines = linesFor(entries, source, destination);
              const requests = calls.map((call) => requestFor(call, source, destination));
              const decisions = await can(mesh, requests, { semantics });
              for (const [at, call] of calls.entries()) {
                const shown = holds(lines, sampleFor(call, source, destination));
                if (shown === undefined) continue;
                const { allowed = false } = decisions[at] ?? {};
                const expected = allowed && mayLeave(mesh, source, destination, call.port);
                assert.equal(shown, expected, `${JSON.stringify(requests[at])}: ${decisions[at]?.cause}`);
                if (expected) seen.allowed++;
                else seen.denied++;
              }
            }
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
    assert.ok(seen.allowed > RUNS && seen.denied > RUNS, JSON.stringify(seen));
  });
}

const lines = (mesh: Mesh, pastProxies = false): string[] =>
  [...accessMap(mesh, { semantics: "istio", pastProxies })].flatMap((entry) =>
    accessLines(entry).map(
      ({ connections, text }) => `${entry.from} => ${entry.to} : ${connections} : ${text}`,
    ),
  );

const PODS = ["web", "orders", "batch"]
  .map(
    (name) => `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec: {template: {metadata: {labels: {app: ${name}}}, spec: {serviceAccountName: ${name}, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}}}
`,
  )
  .join("");

const ORDERS = `---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
      to: [{operation: {methods: [GET], paths: ["/orders/*"], ports: ["8080"]}}]
`;

test("a line tells ports and requests; what a policy refuses whole has none", () => {
  const into = lines(meshOf(PODS + ORDERS)).filter((line) => line.includes("=> shop/orders"));
  assert.deepEqual(into, [
    "shop/web[Deployment] => shop/orders[Deployment] : TCP 8080 : methods GET; paths /orders/*",
  ]);
});

test("a condition on the client's address is one on the peer's where no HTTP tells of another", () => {
  const at = (name: string, ip: string): string =>
    `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}\nspec: {serviceAccountName: ${name}, containers: [{name: c, image: i}]}\nstatus: {podIP: ${ip}}\n`;
  const closed = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: two, namespace: shop}
spec: {selector: {matchLabels: {app: two}}, rules: [{from: [{source: {notRemoteIpBlocks: [10.0.0.1]}}]}]}
`;
  const from = (ip: string): string[] =>
    lines(meshOf(at("one", ip) + at("two", "10.0.0.2") + closed)).filter((line) =>
      line.startsWith("shop/one[Pod] => shop/two"),
    );
  assert.ok(
    from("10.0.0.3").some((line) => !line.includes("HTTP")),
    from("10.0.0.3").join(),
  );
  assert.ok(
    from("10.0.0.1").every((line) => line.includes(": HTTP; client addresses ")),
    from("10.0.0.1").join(),
  );
});

test("a network policy takes ports from a line, and UDP goes past proxies only where that is asked for", () => {
  const network = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: n, namespace: shop}
spec: {podSelector: {matchLabels: {app: batch}}, ingress: [{ports: [{port: 9000}, {protocol: UDP, port: 53}]}]}
`;
  const from = "shop/web[Deployment] => shop/batch[Deployment] :";
  const into = (past: boolean): string[] =>
    lines(meshOf(PODS + network), past).filter((line) => line.startsWith(from));
  assert.deepEqual(into(false), [`${from} TCP 9000 : anything`]);
  assert.deepEqual(into(true), [`${from} TCP 9000 : anything`, `${from} UDP 53 : past every proxy`]);
});

/** A gateway with a route to `orders`, which lets in the principal. */
const gateway = (principal: string): string => `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: istio-system}
spec:
  template:
    metadata: {labels: {istio: ingressgateway, sidecar.istio.io/inject: "true"}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: ingress, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders.example.com]
  gateways: [istio-system/public, mesh]
  http:
    - match: [{gateways: [mesh]}]
      route: [{destination: {host: web}}]
    - route: [{destination: {host: orders, port: {number: 80}}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
${ORDERS.replace("/shop/sa/web", principal)}`;

test("what a gateway's routes lead to from outside has a line, as far as the server takes the gateway", () => {
  const exposed = (principal: string): AccessEntry[] =>
    [...accessMap(meshOf(PODS + gateway(principal)), { semantics: "istio" })].filter(
      ({ via }) => via !== undefined,
    );
  const [line, ...others] = exposed("/istio-system/sa/ingress");
  assert.deepEqual(others, []);
  assert.equal(line?.from, "{outside} by istio-system/ingress[Deployment]");
  assert.equal(line.to, "shop/orders[Deployment]");
  assert.deepEqual(
    accessLines(line).map(({ connections, text }) => `${connections}: ${text}`),
    ["TCP 8080: methods GET; paths /orders/*"],
  );
  assert.deepEqual(line.via, { hosts: ["orders.example.com"], routes: ["VirtualService shop/orders"] });
  assert.deepEqual(exposed("/shop/sa/web"), []);
});

test("what pods that may be a gateway's lead to from outside is not analysed; a router is one, and a sidecar is none", () => {
  const exposed = (container: string): AccessEntry[] => {
    const mesh = gateway("/istio-system/sa/ingress")
      .replace(", annotations: {inject.istio.io/templates: gateway}", "")
      .replace("name: istio-proxy, image: auto", `name: c, ports: [{containerPort: 8080}], ${container}`);
    return [...accessMap(meshOf(PODS + mesh), { semantics: "istio" })].filter(({ via }) => via !== undefined);
  };
  const [line, ...others] = exposed("image: edge");
  assert.deepEqual(others, []);
  assert.equal(line?.from, "{outside} by istio-system/ingress[Deployment]");
  assert.equal(line.access, null);
  assert.match(line.why ?? "", /^not analysed: Gateway istio-system\/public selects these pods/);
  assert.equal(exposed("args: [proxy, router]")[0]?.access?.length, 1);
  assert.deepEqual(exposed("args: [proxy, sidecar]"), []);
});

test("what a gateway leads to by an ExternalName has its line; by a ServiceEntry's address it is not analysed", () => {
  const port = "ports: [{name: http, port: 80}]";
  const exposed = (host: string): AccessEntry[] => {
    const own = gateway("/istio-system/sa/ingress").replace(
      "host: orders, port: {number: 80}",
      `host: ${host}`,
    );
    const mesh = `${PODS}${own}---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: shop}
spec: {type: ExternalName, externalName: orders.shop.svc.cluster.local, ${port}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: corp, namespace: shop}
spec: {hosts: [orders.corp], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, endpoints: [{address: orders.shop.svc.cluster.local}]}
`;
    return [...accessMap(meshOf(mesh), { semantics: "istio" })].filter(({ via }) => via !== undefined);
  };
  const [alias, ...others] = exposed("old");
  assert.deepEqual(others, []);
  assert.deepEqual([alias?.to, alias?.access?.length], ["shop/orders[Deployment]", 1]);
  const [entry] = exposed("orders.corp");
  assert.deepEqual([entry?.to, entry?.access], ["shop/orders[Deployment]", null]);
  assert.match(entry?.why ?? "", /^not analysed: it is an address of ServiceEntry shop\/corp/);
  assert.deepEqual(exposed("elsewhere.corp"), []);
});

test("what is not judged is said so, and never left out", () => {
  const all = lines(meshOf(PODS));
  assert.ok(all.some((line) => /shop\/web.* => 0\.0\.0\.0.* : not judged/.test(line)));
});
