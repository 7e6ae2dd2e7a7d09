import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppProtocol, Endpoint, Mesh, Service, ServicePort, Workload } from "../../src/model/mesh.ts";
import { compilePortProtocols, serviceTargets } from "../../src/policy/port-protocol.ts";
import { resource } from "./inbound-fixture.ts";

const ROOT = "istio-system";
const POD = {
  key: "foo/a",
  kind: "Pod",
  namespace: "foo",
  labels: { app: "a" },
  addresses: ["10.0.0.1", "fd00::1"],
  ports: [{ name: "web", port: 8080, protocol: "TCP" }],
} as unknown as Workload;
const DEPLOYMENT = { ...POD, kind: "Deployment", addresses: [] } as Workload;

interface Given {
  readonly name: string;
  readonly createdAt?: number;
  readonly ports: readonly Partial<ServicePort>[];
  readonly endpoints?: readonly Partial<Endpoint>[];
}

function service({ name, createdAt = 0, ports, endpoints = [{ workload: POD }] }: Given): Service {
  const own = resource("Service", name, {}, { createdAt });
  const filled = endpoints.map((endpoint) => ({ portOverrides: {}, ...endpoint }));
  return { name, resource: own, ports, endpoints: filled } as unknown as Service;
}

function meshOf(services: readonly Given[], sidecars: readonly object[] = []): Mesh {
  const made = sidecars.map((spec, at) => {
    const { namespace = "foo", ...own } = spec as { namespace?: string };
    return resource("Sidecar", `s${at}`, "spec" in own ? own.spec : own, { namespace });
  });
  return {
    services: services.map(service),
    sidecars: made,
    config: { rootNamespace: ROOT },
  } as unknown as Mesh;
}

const port = (targetPort: number | string, protocol: AppProtocol = "tcp", name = `p${targetPort}`) =>
  ({ name, port: 80, targetPort, protocol }) as Partial<ServicePort>;

const targets = (services: readonly Given[], workload: Workload = POD) =>
  serviceTargets(meshOf(services), workload).map(({ service, port, target }) => [
    service.name,
    port.name,
    target,
  ]);

test("serviceTargets(): the oldest Service first, each of its ports, by number, name or override", () => {
  const found = targets([
    { name: "young", createdAt: 2, ports: [port(1)] },
    { name: "old", createdAt: 1, ports: [port("web"), port("9090"), port("unknown"), port(7)] },
    { name: "other", ports: [port(2)], endpoints: [{ address: "10.0.0.9" }, { workload: DEPLOYMENT }] },
  ]);
  assert.deepEqual(found, [
    ["old", "pweb", 8080],
    ["old", "p9090", 9090],
    ["old", "p7", 7],
    ["young", "p1", 1],
  ]);
});

test("serviceTargets(): endpoints by any of the workload's addresses, and their port overrides by the port's name", () => {
  const endpoints = [{ address: "fd00::1", portOverrides: { p1: 1001 } }];
  assert.deepEqual(
    targets([{ name: "s", ports: [port(1), port(2), { ...port(3), name: undefined as never }], endpoints }]),
    [
      ["s", "p1", 1001],
      ["s", "p2", 2],
      ["s", undefined, 3],
    ],
  );
  assert.deepEqual(targets([{ name: "s", ports: [port(1)], endpoints: [{}] }]), []);
  assert.deepEqual(targets([{ name: "s", ports: [port(1)], endpoints: [{}] }], { ...POD, addresses: [""] }), [
    ["s", "p1", 1],
  ]);
});

test("serviceTargets(): the oldest Service first, whether it names the workload or its address", () => {
  const found = targets([
    { name: "young", createdAt: 2, ports: [port(1)], endpoints: [{ workload: POD }] },
    { name: "old", createdAt: 1, ports: [port(2)], endpoints: [{ address: "10.0.0.1" }] },
  ]);
  assert.deepEqual(found, [
    ["old", "p2", 2],
    ["young", "p1", 1],
  ]);
});

test("serviceTargets(): a workload of another kind by the same name is another one; a Service may have several endpoints", () => {
  const ofBoth: Given = {
    name: "s",
    ports: [port(1)],
    endpoints: [{ workload: DEPLOYMENT }, { workload: POD }],
  };
  assert.deepEqual(targets([ofBoth], DEPLOYMENT), [["s", "p1", 1]]);
  assert.deepEqual(targets([ofBoth]), [["s", "p1", 1]]);
  assert.deepEqual(targets([{ ...ofBoth, endpoints: [{ workload: POD }, { address: "10.0.0.1" }] }]), [
    ["s", "p1", 1],
    ["s", "p1", 1],
  ]);
});

test("serviceTargets() looks a mesh through once", () => {
  let looks = 0;
  const mesh = meshOf([{ name: "s", ports: [port(1)] }]);
  const counted = new Proxy(mesh, {
    get: (own, name) => {
      if (name === "services") looks++;
      return Reflect.get(own, name) as unknown;
    },
  });
  assert.deepEqual(
    [serviceTargets(counted, POD).length, serviceTargets(counted, POD).length, looks],
    [1, 1, 1],
  );
});

const protocols = (services: readonly Given[], sidecars: readonly object[] = []) =>
  Object.fromEntries(compilePortProtocols(meshOf(services, sidecars), POD));

test("a Service's port is http for HTTP, HTTP/2 and gRPC, auto where that is to be detected, else tcp", () => {
  const kinds: readonly AppProtocol[] = [
    ...(["http", "http2", "grpc", "auto", "https", "tls", "tcp", "mongo", "mysql", "redis", "udp"] as const),
  ];
  const ports = kinds.map((kind, at) => port(at + 1, kind));
  assert.deepEqual(Object.values(protocols([{ name: "s", ports }])), [
    ...["http", "http", "http", "auto"],
    ...["tcp", "tcp", "tcp", "tcp", "tcp", "tcp", "tcp"],
  ]);
});

test("of several Services that name a port, the oldest says what it speaks", () => {
  const both: Given[] = [
    { name: "young", createdAt: 2, ports: [port(1, "http"), port(2, "http")] },
    { name: "old", createdAt: 1, ports: [port(1, "tcp"), port(1, "auto")] },
  ];
  assert.deepEqual(protocols(both), { 1: "tcp", 2: "http" });
});

const listener = (number: number, protocol?: string) => ({
  port: { number, ...(protocol === undefined ? {} : { protocol }) },
});

test("a Sidecar's port is http for HTTP and its kin, tcp for what is known not to be, else auto, whatever the case", () => {
  const of = (...names: string[]) =>
    Object.values(protocols([], [{ ingress: names.map((name, at) => listener(at + 1, name)) }]));
  assert.deepEqual(of("http", "HTTP2", "gRPC", "grpc-web", "HTTP_PROXY"), new Array(5).fill("http"));
  assert.deepEqual(of("TCP", "https", "tls", "Mongo", "redis", "mysql", "udp"), new Array(7).fill("tcp"));
  assert.deepEqual(of("", "other", "sctp"), new Array(3).fill("auto"));
  assert.deepEqual(protocols([], [{ ingress: [listener(5), {}, { port: {} }] }]), { 5: "auto" });
});

const SERVICES: readonly Given[] = [{ name: "s", ports: [port(1, "http")] }];
const ingress = (number: number) => ({ ingress: [listener(number, "TCP"), listener(number, "HTTP")] });
const selecting = (labels: Record<string, string>, number: number) => ({
  workloadSelector: { labels },
  ...ingress(number),
});

/** Sidecars, and the ports that are declared of foo's workload. */
const SIDECARS: readonly (readonly [string, readonly object[], Record<string, string>])[] = [
  ["none", [], { 1: "http" }],
  ["one without listeners", [{}], { 1: "http" }],
  ["one without a spec", [{ spec: undefined }], { 1: "http" }],
  ["one with an empty list", [{ ingress: [] }], { 1: "http" }],
  ["its namespace's, whose first listener of a port counts", [ingress(2)], { 2: "tcp" }],
  ["the mesh's", [{ namespace: ROOT, ...ingress(3) }], { 3: "tcp" }],
  ["another namespace's", [{ namespace: "bar", ...ingress(3) }], { 1: "http" }],
  ["the namespace's over the mesh's", [{ namespace: ROOT, ...ingress(3) }, ingress(2)], { 2: "tcp" }],
  [
    "the namespace's without listeners over the mesh's",
    [{ namespace: ROOT, ...ingress(3) }, {}],
    { 1: "http" },
  ],
  ["its own over its namespace's", [ingress(2), selecting({ app: "a" }, 4)], { 4: "tcp" }],
  ["one of other labels", [selecting({ app: "b" }, 4)], { 1: "http" }],
  ["one of other labels, and its namespace's", [selecting({ app: "b" }, 4), ingress(2)], { 2: "tcp" }],
  ["one of no labels", [{ workloadSelector: {}, ...ingress(5) }], { 5: "tcp" }],
  ["one of empty labels, and its own", [selecting({}, 5), selecting({ app: "a" }, 4)], { 4: "tcp" }],
  [
    "one that selects, of the root namespace",
    [{ namespace: ROOT, ...selecting({ app: "a" }, 4) }],
    { 1: "http" },
  ],
];

for (const [what, sidecars, expected] of SIDECARS)
  test(`inbound listeners of a Sidecar: ${what}`, () => {
    assert.deepEqual(protocols(SERVICES, sidecars), expected);
  });
