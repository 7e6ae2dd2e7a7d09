/** The map in ambient mode: what ztunnels and waypoints let through is what `can` allows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { accessLines } from "../../src/analysis/map/access-lines.ts";
import { accessMap } from "../../src/analysis/map/access-map.ts";
import type { SampleRequest } from "../../src/analysis/space/request-space.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";
import { provideStockGateways } from "../../src/substrate/stock-gateways.ts";
import { type ArbitraryCall, arbitraryCall, arbitraryPolicies } from "../policy/arbitrary-authorization.ts";
import { holds } from "./map-samples.ts";

const SEED = 20_261_122;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 4);
const SERVICE = "httpbin.foo.svc.cluster.local";
/** By the Service's ports: where its pods listen. */
const TARGETS: ReadonlyMap<number, number> = new Map([
  [80, 8080],
  [9000, 9000],
  [7000, 7000],
]);

function manifest(kind: string, metadata: object, rest: object, apiVersion = "v1"): Resource {
  return resourceFromJson({ apiVersion, kind, metadata, ...rest }, { file: "test", createdAt: 0 });
}

function pod(namespace: string, name: string, podIP: string, labels: object = {}): Resource {
  return manifest(
    "Pod",
    { name, namespace, labels: { app: name, ...labels } },
    { spec: { serviceAccountName: name, containers: [{ name: "c", image: "i" }] }, status: { podIP } },
  );
}

const AMBIENT = { "istio.io/dataplane-mode": "ambient" };
const MESH: readonly Resource[] = [
  manifest("Namespace", { name: "foo", labels: { ...AMBIENT, "istio.io/use-waypoint": "waypoint" } }, {}),
  manifest("Namespace", { name: "bar", labels: AMBIENT }, {}),
  pod("foo", "httpbin", "10.20.0.5"),
  pod("foo", "sleep", "10.1.0.5"),
  pod("bar", "admin", "10.1.1.9"),
  pod("bar", "plain", "192.168.7.7", { "istio.io/dataplane-mode": "none" }),
  manifest(
    "Service",
    { name: "httpbin", namespace: "foo" },
    {
      spec: {
        clusterIP: "10.96.0.5",
        selector: { app: "httpbin" },
        ports: [
          { name: "http", port: 80, targetPort: 8080 },
          { name: "tcp-raw", port: 9000 },
          { name: "auto", port: 7000 },
        ],
      },
    },
  ),
  manifest(
    "Gateway",
    { name: "waypoint", namespace: "foo", labels: { "istio.io/waypoint-for": "service" } },
    {
      spec: {
        gatewayClassName: "istio-waypoint",
        listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
      },
    },
    "gateway.networking.k8s.io/v1",
  ),
];

function security(kind: string, name: string, namespace: string, spec: object): Resource {
  return manifest(kind, { name, namespace }, { spec }, "security.istio.io/v1");
}

const TO_SERVICE = { targetRefs: [{ kind: "Service", group: "", name: "httpbin" }] };

function meshWith(...more: readonly Resource[]): Mesh {
  return buildMesh(provideStockGateways([...MESH, ...more]).resources);
}

function principalOf({ dataplane, spiffeId }: Workload): string | null {
  return dataplane === "ambient" ? spiffeId.slice("spiffe://".length) : null;
}

function sampleFor(
  call: ArbitraryCall,
  source: Workload,
  destinationIp: string,
  port: number,
): SampleRequest {
  return {
    protocol: call.http ? "http" : "tcp",
    port,
    principal: principalOf(source),
    sourceIp: source.addresses[0] ?? "",
    remoteIp: null,
    destinationIp,
    sni: "",
    method: call.method,
    host: call.host.toLowerCase(),
    path: call.path.split("?")[0] ?? "",
    headers: call.headers.flat(),
    claims: call.http ? call.claims : null,
  };
}

function requestFor(call: ArbitraryCall, source: Workload, to: AccessRequest["to"]): AccessRequest {
  return {
    from: { workload: source.key },
    to,
    protocol: call.http ? "http" : "tcp",
    ...(call.http ? { method: call.method, path: call.path, host: call.host, headers: call.headers } : {}),
    ...(call.http && call.claims !== null ? { jwt: { claims: call.claims } } : {}),
  };
}

async function isAllowed(
  mesh: Mesh,
  request: AccessRequest,
  semantics: "istio" | "strict",
): Promise<{ readonly allowed: boolean; readonly cause: string }> {
  const [decision] = await can(mesh, [request], { semantics });
  return decision ?? assert.fail();
}

for (const semantics of ["istio", "strict"] as const)
  test(`lines of ztunnels and waypoints hold the requests that can allows (${semantics})`, async () => {
    const seen = { direct: 0, byWaypoint: 0, denied: 0 };
    await fc.assert(
      fc.asyncProperty(
        arbitraryPolicies,
        arbitraryPolicies,
        fc.array(arbitraryCall, { minLength: 10, maxLength: 10 }),
        async (atZtunnel, atWaypoint, calls) => {
          const mesh = meshWith(
            security("RequestAuthentication", "tokens", "foo", {
              ...TO_SERVICE,
              jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
            }),
            ...atZtunnel.map(({ name, namespace, spec }) =>
              security("AuthorizationPolicy", `z-${name}`, namespace, { ...spec }),
            ),
            // Its own last word, so that what waypoints let through gets there now and then.
            ...atWaypoint
              .filter(({ namespace }) => namespace === "foo")
              .map(({ name, spec }) =>
                security("AuthorizationPolicy", `w-${name}`, "foo", { ...TO_SERVICE, ...spec }),
              ),
          );
          const entries = [...accessMap(mesh, { semantics, keepsRegions: true })];
          const server = mesh.workloads.find(({ key }) => key === "foo/httpbin") ?? assert.fail();
          for (const key of ["foo/sleep", "bar/admin", "bar/plain"]) {
            const source = mesh.workloads.find((own) => own.key === key) ?? assert.fail();
            const own = entries.filter(
              (entry) =>
                entry.source?.workloads.includes(source) === true &&
                entry.destination?.workloads.includes(server) === true,
            );
            for (const call of calls) {
              const request = requestFor(call, source, { workload: server.key, port: call.port });
              const { allowed, cause } = await isAllowed(mesh, request, semantics);
              const sample = sampleFor(call, source, server.addresses[0] ?? "", call.port);
              const direct = own.filter(({ via }) => via === undefined);
              const shown = holds(direct, sample);
              if (shown === undefined) continue;
              assert.equal(shown, allowed, `${JSON.stringify(request)}: ${cause}`);
              if (allowed) seen.direct++;
              else seen.denied++;
            }
            if (source.dataplane !== "ambient") continue;
            for (const call of calls)
              for (const [servicePort, port] of TARGETS) {
                const request = requestFor(call, source, { service: SERVICE, port: servicePort });
                const { allowed, cause } = await isAllowed(mesh, request, semantics);
                // No file tells the waypoint's address; where any rule asks for one, `can` does not look further.
                if (cause === "address-unknown") continue;
                // The waypoint judges by the Service's port; the line tells the pod's.
                const lines = own.filter(({ via }) => via !== undefined);
                const sample = sampleFor(call, source, "10.96.0.5", servicePort);
                const shown = holds(lines, { ...sample, port });
                if (shown === undefined) continue;
                assert.equal(shown, allowed, `${JSON.stringify(request)}: ${cause}`);
                if (allowed) seen.byWaypoint++;
                else seen.denied++;
              }
          }
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
    assert.ok(seen.direct > RUNS && seen.byWaypoint > RUNS && seen.denied > RUNS, JSON.stringify(seen));
  });

/** From `source` on, in words. */
function linesFrom(mesh: Mesh, source: string): string[] {
  return [...accessMap(mesh, { semantics: "istio" })]
    .filter(({ from, destination }) => from.startsWith(source) && destination !== undefined)
    .flatMap((entry) =>
      accessLines(entry).map(
        ({ connections, text }) => `${entry.from} => ${entry.to} : ${connections} : ${text}`,
      ),
    );
}

const DIRECT = "bar/admin[Pod] => foo/httpbin[Pod] : TCP any port : anything";
const BY_WAYPOINT = "bar/admin[Pod] by foo/waypoint[Deployment] => foo/httpbin[Pod] : TCP 8080 : methods GET";
const GET_ONLY = security("AuthorizationPolicy", "get", "foo", {
  ...TO_SERVICE,
  rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
});

test("who may go past the waypoint has a line of his own; a pod that takes its waypoint alone has none", () => {
  const open = linesFrom(meshWith(GET_ONLY), "bar/admin");
  assert.ok(open.includes(DIRECT) && open.includes(BY_WAYPOINT), open.join("\n"));
  const closed = security("AuthorizationPolicy", "by-waypoint", "foo", {
    selector: { matchLabels: { app: "httpbin" } },
    rules: [{ from: [{ source: { principals: ["cluster.local/ns/foo/sa/waypoint"] } }] }],
  });
  const left = linesFrom(meshWith(GET_ONLY, closed), "bar/admin");
  assert.ok(!left.includes(DIRECT) && left.includes(BY_WAYPOINT), left.join("\n"));
});

test("network policies see HBONE's port, and none of the application", () => {
  const into = (port: number): string[] =>
    linesFrom(
      meshWith(
        GET_ONLY,
        manifest(
          "NetworkPolicy",
          { name: "n", namespace: "foo" },
          { spec: { podSelector: { matchLabels: { app: "httpbin" } }, ingress: [{ ports: [{ port }] }] } },
          "networking.k8s.io/v1",
        ),
      ),
      "bar/admin",
    ).filter((line) => line.includes("=> foo/httpbin"));
  assert.deepEqual(into(15_008).slice(0, 1), [DIRECT]);
  assert.ok(into(15_008).includes(BY_WAYPOINT));
  assert.deepEqual(into(8080), []);
});

test("a ztunnel speaks to a sidecar by HBONE, or in clear where it takes none", () => {
  const behindSidecar = (tunnel: string): string[] =>
    linesFrom(
      meshWith(
        manifest("Namespace", { name: "old", labels: { "istio-injection": "enabled" } }, {}),
        pod("old", "web", "10.9.0.1", tunnel === "" ? {} : { "networking.istio.io/tunnel": tunnel }),
        security("AuthorizationPolicy", "known", "old", {
          rules: [{ from: [{ source: { principals: ["*"] } }] }],
        }),
      ),
      "bar/admin",
    ).filter((line) => line.includes("=> old/web"));
  assert.deepEqual(behindSidecar("http"), ["bar/admin[Pod] => old/web[Pod] : TCP any port : anything"]);
  assert.deepEqual(behindSidecar(""), []);
});

test("what a waypoint's routes may send elsewhere, and what a waypoint for workloads takes, is not analysed", () => {
  const routed = linesFrom(
    meshWith(
      GET_ONLY,
      manifest(
        "VirtualService",
        { name: "httpbin", namespace: "foo" },
        { spec: { hosts: [SERVICE], http: [{ route: [{ destination: { host: SERVICE } }] }] } },
        "networking.istio.io/v1",
      ),
    ),
    "bar/admin",
  );
  assert.ok(
    routed.some((line) => /by foo\/waypoint.*not analysed: routes of the waypoint/.test(line)),
    routed.join("\n"),
  );
  const forAll = MESH.map((own) =>
    own.kind === "Gateway" ? { ...own, labels: { "istio.io/waypoint-for": "all" } } : own,
  );
  const taken = linesFrom(buildMesh(provideStockGateways(forAll).resources), "bar/admin");
  assert.ok(
    taken.some((line) => /admin\[Pod\] => foo\/httpbin.*not analysed: a waypoint for workloads/.test(line)),
    taken.join("\n"),
  );
});

test("a pod in clear has what a ztunnel lets in without identity; a waypoint itself is not judged", () => {
  const strict = security("PeerAuthentication", "default", "foo", { mtls: { mode: "STRICT" } });
  const clear = (...more: readonly Resource[]): string[] =>
    linesFrom(meshWith(...more), "bar/plain").filter((line) => line.includes("=> foo/httpbin"));
  assert.deepEqual(clear(), ["bar/plain[Pod] => foo/httpbin[Pod] : TCP any port : anything"]);
  assert.deepEqual(clear(strict), []);
  assert.ok(linesFrom(meshWith(), "bar/admin").some((line) => /=> foo\/waypoint.* : not judged/.test(line)));
});
