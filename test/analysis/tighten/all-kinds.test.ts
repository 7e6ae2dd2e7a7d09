import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffMesh } from "../../../src/analysis/diff/diff-mesh.ts";
import { proposeEgress } from "../../../src/analysis/tighten/egress.ts";
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import { proposeNetworkPolicies } from "../../../src/analysis/tighten/network.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { type ProposeOptions, proposeAuthorization } from "../../../src/analysis/tighten/propose.ts";
import { readBulwarkFlow } from "../../../src/analysis/tighten/read-bulwark-flow.ts";
import { Replay, type ReplayResult } from "../../../src/analysis/tighten/replay.ts";
import { proposeSidecars } from "../../../src/analysis/tighten/sidecars.ts";
import { type WholeProposal, wholeProposal } from "../../../src/analysis/tighten/whole-proposal.ts";
import { WorkloadNames } from "../../../src/analysis/tighten/workload-names.ts";
import { type AccessRequest, can, type Decision } from "../../../src/index.ts";
import type { FlowRecord } from "../../../src/model/flow-record.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { httpAttributes } from "../../../src/policy/ambient/l4-rule.ts";
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import { loadTexts } from "../../../src/resources/load.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { provideStockGateways } from "../../../src/substrate/stock-gateways.ts";
import { decodeFlow } from "../../../src/telemetry/flow-decode.ts";
import {
  type ArbitraryCall,
  type ArbitraryPolicy,
  arbitraryCall,
  arbitraryPolicies,
} from "../../policy/arbitrary-authorization.ts";
import { meshOf, resource } from "../../policy/inbound-fixture.ts";
import { pod } from "./tighten-fixture.ts";
import { validPolicies } from "./valid-policies.ts";

const SEED = 20261123;
const HTTPBIN = "httpbin.foo.svc.cluster.local";

type Mode = "sidecar" | "ambient" | "waypoint" | "gateway";

function isAmbient(mode: Mode): boolean {
  return mode === "ambient" || mode === "waypoint";
}

const SERVICE_REF = { group: "", kind: "Service", name: "httpbin" };
const GATEWAY_REF = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "wp" };
const HERE = { selector: { matchLabels: { app: "httpbin" } } };
/** What policies are for. */
const TARGETS: Readonly<Record<Mode, readonly object[]>> = {
  sidecar: [{}, {}, HERE],
  gateway: [{ selector: { matchLabels: { istio: "in" } } }],
  ambient: [{}, HERE],
  waypoint: [
    { targetRefs: [SERVICE_REF] },
    { targetRefs: [GATEWAY_REF] },
    { targetRefs: [SERVICE_REF] },
    HERE,
  ],
};

/** Takes the mesh's own TLS, whose clients have an identity. */
const GATEWAY = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: in, namespace: foo}
spec:
  selector: {matchLabels: {istio: in}}
  template:
    metadata: {labels: {istio: in}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: in, containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: in, namespace: foo}
spec: {clusterIP: 10.96.0.8, selector: {istio: in}, ports: [{name: https, port: 8443}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: foo}
spec:
  selector: {istio: in}
  servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: in, namespace: foo}
spec: {hosts: ["*"], gateways: [in], http: [{route: [{destination: {host: httpbin, port: {number: 80}}}]}]}
`;

/** foo's own mode; bar and foo-prod are behind sidecars. */
async function namespaceFoo(mode: Mode): Promise<readonly Resource[]> {
  if (mode === "sidecar") return [];
  if (mode === "gateway") return (await loadTexts([{ file: "gateway.yaml", text: GATEWAY }])).resources;
  const labels = {
    "istio.io/dataplane-mode": "ambient",
    ...(mode === "waypoint" ? { "istio.io/use-waypoint": "wp" } : {}),
  };
  const namespace = resource(
    "Namespace",
    "foo",
    {},
    { namespace: "", labels, body: { metadata: { labels } } },
  );
  const listeners = [{ name: "mesh", port: 15008, protocol: "HBONE" }];
  const gateway = {
    ...resource("Gateway", "wp", { gatewayClassName: "istio-waypoint", listeners }),
    apiVersion: "gateway.networking.k8s.io/v1",
  };
  return mode === "waypoint" ? provideStockGateways([namespace, gateway]).resources : [namespace];
}

const ADMIN_SERVICE = resource(
  "Service",
  "admin",
  {
    clusterIP: "10.96.0.9",
    selector: { app: "admin" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  },
  { namespace: "bar" },
);

const OUTSIDE = {
  ...resource(
    "ServiceEntry",
    "api",
    {
      hosts: ["api.example.com"],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: "DNS",
      location: "MESH_EXTERNAL",
    },
    { namespace: "bar" },
  ),
  apiVersion: "networking.istio.io/v1",
};
const DIALLED = [HTTPBIN, "admin.bar.svc.cluster.local", "api.example.com"] as const;

/** What else holds today. */
const BESIDE: readonly (readonly Resource[])[] = [
  [],
  [resource("Sidecar", "default", { egress: [{ hosts: ["*/*"] }] }, { namespace: "istio-system" })],
  [
    {
      ...resource(
        "NetworkPolicy",
        "from-foo",
        {
          podSelector: {},
          ingress: [
            { from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "foo" } } }] },
          ],
        },
        { namespace: "bar" },
      ),
      apiVersion: "networking.k8s.io/v1",
    },
  ],
];

/** By identity, of those that the files know. */
const CALLERS: ReadonlyMap<string, string> = new Map(
  ["foo/sleep", "foo/httpbin", "bar/admin", "foo-prod/sleep-v2", "foo/wp"].map((key) => [
    `cluster.local/ns/${key.replace("/", "/sa/")}`,
    key,
  ]),
);
const SERVERS = ["foo/httpbin", "foo/httpbin", "bar/admin", "foo/sleep"] as const;

/** One record, and the request that it is of. */
interface Observed {
  readonly record: FlowRecord;
  readonly request: AccessRequest;
  /** Whether `can` lets it past whoever wrote the record. */
  readonly isLetBy: (decision: Decision) => boolean;
}

const BASE = { id: "a/b@1:0", time: "2026-11-02T09:00:00Z", verdict: "allow" } as const;

function atServer(call: ArbitraryCall, server: (typeof SERVERS)[number], isAmbient: boolean): Observed {
  const { principal, port, sni, method, path, host } = call;
  const isHttp = call.http && !isAmbient;
  const workload = CALLERS.get(principal ?? "");
  const asked = { method, path, host, headers: call.headers };
  const tokens = call.claims === null ? {} : { jwt: { claims: call.claims } };
  return {
    record: {
      ...BASE,
      kind: isHttp ? "request" : "connection",
      reporter: isAmbient ? "ztunnel a" : server,
      direction: "inbound",
      protocol: isHttp ? "http" : "tcp",
      source: { principal, ip: call.sourceIp },
      destination: { workload: server, port },
      ...(isHttp ? { method, path } : {}),
      ...(principal === null ? {} : { sni }),
    },
    request: {
      from: {
        ...(workload === undefined ? {} : { workload }),
        principal,
        ip: call.sourceIp,
        alpn: call.http ? ["istio-http/1.1", "istio"] : ["istio"],
      },
      to: { workload: server, port },
      protocol: call.http ? "http" : "tcp",
      ...(principal === null ? {} : { sni }),
      ...(call.http ? { ...asked, ...tokens } : {}),
    },
    isLetBy: ({ allowed }) => allowed,
  };
}

function atWaypoint({ method, path, headers }: ArbitraryCall): Observed {
  return {
    record: {
      ...BASE,
      kind: "request",
      reporter: "foo/wp",
      direction: "inbound",
      protocol: "http",
      source: { principal: "cluster.local/ns/foo/sa/sleep" },
      destination: { service: HTTPBIN, port: 80 },
      method,
      path,
    },
    request: {
      from: { workload: "foo/sleep" },
      to: { service: HTTPBIN, port: 80 },
      method,
      path,
      headers,
      host: HTTPBIN,
    },
    isLetBy: ({ hops }) => hops.some(({ side, allowed }) => side === "waypoint" && allowed),
  };
}

function atGateway({ principal, sourceIp, method, path, headers }: ArbitraryCall): Observed {
  return {
    record: {
      ...BASE,
      kind: "request",
      reporter: "foo/in",
      direction: "inbound",
      protocol: "http",
      source: { principal, ip: sourceIp },
      destination: { port: 8443 },
      sni: "app",
      method,
      path,
    },
    request: {
      from: { principal, ip: sourceIp },
      via: "foo/in",
      to: { host: "app", port: 8443 },
      sni: "app",
      method,
      path,
      headers,
      host: "app",
    },
    isLetBy: ({ hops }) => hops.some(({ side, allowed }) => side === "gateway" && allowed),
  };
}

/** What the waypoint sends on, as the ztunnel behind it tells. */
function behindWaypoint(call: ArbitraryCall): Observed {
  const principal = "cluster.local/ns/foo/sa/wp";
  return atServer({ ...call, principal, port: 8080, sni: "", claims: null }, "foo/httpbin", true);
}

function atClient(workload: string, host: string, port: number): Observed {
  return {
    record: {
      ...BASE,
      kind: "request",
      reporter: workload,
      direction: "outbound",
      protocol: "http",
      destination: { host, port },
      method: "GET",
      path: "/",
    },
    request: { from: { workload }, to: { host, port }, method: "GET", path: "/", host },
    isLetBy: ({ hops }) => hops.some(({ side, allowed }) => side === "client" && allowed),
  };
}

function observedOf(call: ArbitraryCall, at: number, mode: Mode): readonly Observed[] {
  const server = SERVERS[(call.path.length + at) % SERVERS.length] ?? "foo/httpbin";
  // Of some logs a part is missing.
  if (mode === "waypoint" && at % 3 === 0)
    return call.http ? [atWaypoint(call), behindWaypoint(call)] : [atWaypoint(call)];
  if (mode === "gateway" && at % 2 === 0) return [atGateway(call)];
  if (at % 7 === 1) return [atClient("bar/admin", DIALLED[at % DIALLED.length] ?? HTTPBIN, 80)];
  return [atServer(call, server, isAmbient(mode) && server.startsWith("foo/"))];
}

interface Tightened {
  readonly evidence: Evidence;
  readonly whole: WholeProposal;
  readonly replay: ReplayResult;
}

/** As the command does it, from lines of a log. */
async function tightenAll(
  mesh: Mesh,
  log: readonly FlowRecord[],
  { semantics, inactive }: Pick<ProposeOptions, "semantics" | "inactive">,
): Promise<Tightened> {
  const names = new WorkloadNames(mesh);
  const readings = log.map((record) => {
    const decoded = decodeFlow(JSON.stringify(record));
    const reading = decoded === undefined ? assert.fail("no record") : readBulwarkFlow(decoded, names);
    return reading.kind === "malformed" ? assert.fail(reading.why) : reading;
  });
  const options: ProposeOptions = { semantics, thresholds: DEFAULT_THRESHOLDS, inactive };
  const evidence = new Evidence(mesh, { ...options, unwantedStatuses: new Set() });
  for (const reading of readings) evidence.add(reading);
  const proposal = await proposeAuthorization(mesh, evidence, options);
  const extras = [
    await proposeSidecars(mesh, evidence),
    await proposeNetworkPolicies(mesh, proposal.servers),
  ];
  const others = extras.flatMap(({ changes }) => changes);
  extras.push(await proposeEgress(mesh, evidence, others, { inactive, network: true }));
  const whole = await wholeProposal(mesh, proposal, extras, semantics);
  const replay = new Replay(mesh, whole.mesh, semantics);
  for (const reading of readings) {
    if (reading.kind === "server") replay.add(reading);
    else if (reading.kind === "client") replay.addClient(reading);
  }
  return { evidence, whole, replay: await replay.finish() };
}

async function decided(mesh: Mesh, request: AccessRequest, semantics: Semantics): Promise<Decision> {
  const [decision] = await can(mesh, [request], { semantics });
  return decision ?? assert.fail();
}

/** Whether whoever has the identity in the record is one that files or rules name. */
function isKnown({ source, direction }: FlowRecord): boolean {
  return direction === "outbound" || CALLERS.has(source?.principal ?? "");
}

/** Of every policy that ztunnel is to enforce. */
function ztunnelAttributes({ servers, mesh }: WholeProposal, mode: Mode): readonly string[] {
  if (!isAmbient(mode)) return [];
  const ambient = servers.filter(({ workloads }) => workloads.some((key) => key.startsWith("foo/")));
  const names = new Set(ambient.map(({ policy }) => policy.split("/")[1]));
  return mesh.authorizationPolicies
    .filter(({ name, namespace }) => namespace === "foo" && names.has(name))
    .flatMap(({ spec }) => (spec as AuthorizationSpec).rules ?? [])
    .flatMap(httpAttributes);
}

/** What a gateway tells apart is asked one by one. */
function few(policies: readonly ArbitraryPolicy[]): readonly ArbitraryPolicy[] {
  return policies
    .slice(0, 2)
    .map((policy) => ({ ...policy, spec: { ...policy.spec, rules: (policy.spec.rules ?? []).slice(0, 1) } }));
}

const WANTED = ["AuthorizationPolicy", "Sidecar", "NetworkPolicy"] as const;

test("all kinds together, in every mode: nothing is wider (by diff), nothing that was let through is refused, and refusals and strangers grant nothing", async () => {
  const written = new Map<string, number>();
  const modes = new Map<Mode, number>();
  const atGateways = new Map<string, number>();
  let leftOut = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<Mode>("sidecar", "ambient", "waypoint", "gateway"),
      fc.record({
        semantics: fc.constantFrom<Semantics>("istio", "strict"),
        inactive: fc.constantFrom("keep", "keep", "close"),
      }),
      fc.constantFrom(...BESIDE),
      arbitraryPolicies,
      fc.array(arbitraryCall, { minLength: 12, maxLength: 30 }),
      async (mode, options, beside, policies, calls) => {
        const { semantics } = options;
        const mesh = meshOf(
          ...(await namespaceFoo(mode)),
          pod("foo", "sleep"),
          pod("bar", "admin"),
          pod("foo-prod", "sleep-v2"),
          ADMIN_SERVICE,
          OUTSIDE,
          ...beside,
          ...(await validPolicies(mode === "gateway" ? few(policies) : policies, TARGETS[mode])),
        );
        const seen = calls
          .filter(({ principal }) => principal?.startsWith("old.domain") !== true)
          .flatMap((call, at) => observedOf(call, at, mode));
        const log: FlowRecord[] = [];
        const granting: FlowRecord[] = [];
        const passed: Observed[] = [];
        for (const one of seen) {
          const isLet = one.isLetBy(await decided(mesh, one.request, semantics));
          log.push(isLet ? one.record : { ...one.record, verdict: "deny" });
          if (!isLet || !isKnown(one.record)) continue;
          granting.push(one.record);
          passed.push(one);
        }
        const { evidence, whole, replay } = await tightenAll(mesh, log, options);
        assert.equal(evidence.contradictions.size, 0, JSON.stringify([...evidence.contradictions]));
        assert.deepEqual([whole.wider, replay.refused], [[], []]);
        const without = await tightenAll(mesh, granting, options);
        assert.deepEqual(
          whole.changes.map(({ manifest }) => manifest),
          without.whole.changes.map(({ manifest }) => manifest),
        );
        assert.deepEqual(ztunnelAttributes(whole, mode), []);
        const { changes, clients, network, proxies } = await diffMesh(mesh, whole.mesh, {
          semantics,
          regionLimit: 2000,
        });
        const wider = [...changes, ...clients, ...network, ...proxies].filter(
          ({ change }) => change === "widened",
        );
        assert.deepEqual(wider, []);
        for (const { request, isLetBy } of passed)
          assert.ok(isLetBy(await decided(whole.mesh, request, semantics)), JSON.stringify(request));
        for (const { workloads, proof } of whole.servers)
          if (workloads.includes("foo/in")) atGateways.set(proof.kind, (atGateways.get(proof.kind) ?? 0) + 1);
        if (whole.servers.length > 0) modes.set(mode, (modes.get(mode) ?? 0) + 1);
        leftOut += log.length - granting.length;
        for (const { manifest } of whole.changes)
          written.set(manifest.kind, (written.get(manifest.kind) ?? 0) + 1);
      },
    ),
    { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 5) },
  );
  const told = JSON.stringify([[...written], [...modes], [...atGateways], leftOut]);
  assert.ok(
    WANTED.every((kind) => (written.get(kind) ?? 0) > 0),
    told,
  );
  assert.ok(modes.size === 4 && leftOut > 20, told);
  if (process.env.ANALYSIS_RUNS !== undefined) console.log(told);
});
