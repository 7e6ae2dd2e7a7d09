import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { fromWire } from "../../src/resources/wire.ts";
import { type Assignments, NO_ASSIGNMENTS, toPlacement } from "../../src/substrate/assignment.ts";
import { loopbackSubstrate } from "../../src/substrate/loopback.ts";
import { deriveLoopbackAddress } from "../../src/substrate/loopback-address.ts";
import { provideStockGateways } from "../../src/substrate/stock-gateways.ts";

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

function resourcesOf(...bodies: readonly Record<string, unknown>[]) {
  return fromWire(bodies.map((body, index) => ({ body, file: "test.yaml", createdAt: index })));
}

function deployment(
  name: string,
  extra: Record<string, unknown> = {},
  podSpec: Record<string, unknown> = {},
) {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "ns" },
    spec: {
      ...extra,
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [{ ports: [{ containerPort: 8080 }] }], ...podSpec },
      },
    },
  };
}

function assign(mesh: Mesh, previous: Assignments = NO_ASSIGNMENTS, fresh = false, simulateExternal = false) {
  return loopbackSubstrate({ meshId: "test", simulateExternal, fresh }).assign(mesh, previous);
}

const EXTERNAL = {
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "ibm", namespace: "ns" },
  spec: {
    hosts: ["*.ibm.com", "ibm.com"],
    location: "MESH_EXTERNAL",
    resolution: "DNS",
    ports: [
      { number: 7443, name: "tls", protocol: "TLS" },
      { number: 7080, name: "http", protocol: "HTTP", targetPort: 7081 },
    ],
  },
};

test("assign() gives every replica its own address, secret and application port, and keeps them", async () => {
  const mesh = buildMesh(resourcesOf(deployment("web", { replicas: 3 }), deployment("db")));
  const first = await assign(mesh);
  assert.deepEqual(
    first.pods.map(({ name, workload, replica }) => [name, workload, replica]),
    [
      ["web-0", "ns/web", 0],
      ["web-1", "ns/web", 1],
      ["web-2", "ns/web", 2],
      ["db-0", "ns/db", 0],
    ],
  );
  for (const key of ["address", "outboundSecret", "uid"] as const)
    assert.equal(new Set(first.pods.map((pod) => pod[key])).size, 4, key);
  const ports = first.pods.flatMap(({ applicationPorts }) =>
    applicationPorts.map(({ socketPort }) => socketPort),
  );
  assert.equal(new Set(ports).size, 4);
  for (const { address } of first.pods) assert.match(address, /^127\.(1[6-9]|[2-9]\d|1\d\d|2[0-3]\d)\./);
  assert.deepEqual(await assign(mesh, first), first);
});

test("assign() keeps addresses when pods come and go, and over a restart, but not application ports then", async () => {
  const [before] = [await assign(buildMesh(resourcesOf(deployment("web", { replicas: 2 }))))];
  const grown = await assign(
    buildMesh(resourcesOf(deployment("db"), deployment("web", { replicas: 3 }))),
    before,
  );
  assert.deepEqual(grown.pods.filter(({ workload }) => workload === "ns/web").slice(0, 2), before.pods);
  const restarted = await assign(buildMesh(resourcesOf(deployment("web", { replicas: 2 }))), grown, true);
  assert.deepEqual(
    restarted.pods.map(({ address, outboundSecret }) => [address, outboundSecret]),
    before.pods.map(({ address, outboundSecret }) => [address, outboundSecret]),
  );
  assert.notDeepEqual(
    restarted.pods.map(({ applicationPorts }) => applicationPorts),
    before.pods.map(({ applicationPorts }) => applicationPorts),
  );
});

test("assign() makes another pod of one that runs under another account", async () => {
  const before = await assign(buildMesh(resourcesOf(deployment("web"))));
  const other = deployment("web", {}, { serviceAccountName: "admin" });
  const after = await assign(buildMesh(resourcesOf(other)), before);
  assert.notEqual(after.pods[0]?.uid, before.pods[0]?.uid);
  assert.equal(after.pods[0]?.address, before.pods[0]?.address);
});

test("assign() avoids an address whose ports somebody else has", async () => {
  const taken = deriveLoopbackAddress("test pod ns/web-0", 0);
  const server = createServer();
  closers.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(8080, taken, resolve));
  const mesh = buildMesh(resourcesOf(deployment("web")));
  const assigned = await assign(mesh);
  assert.equal(assigned.pods[0]?.address, deriveLoopbackAddress("test pod ns/web-0", 1));
  const kept = { ...assigned, pods: assigned.pods.map((pod) => ({ ...pod, address: taken })) };
  assert.notEqual(
    (await assign(mesh, kept, true)).pods[0]?.address,
    taken,
    "a kept address that is busy at start",
  );
});

test("assign() gives another mesh on the same machine other addresses", async () => {
  const mesh = buildMesh(resourcesOf(deployment("web")));
  const [one, other] = await Promise.all(
    ["one", "other"].map((meshId) =>
      loopbackSubstrate({ meshId, simulateExternal: false, fresh: true }).assign(mesh, NO_ASSIGNMENTS),
    ),
  );
  assert.notEqual(one?.pods[0]?.address, other?.pods[0]?.address);
});

test("assign() gives a workload without sidecar its own address to listen on, and no way through a sidecar", async () => {
  const labels = { "sidecar.istio.io/inject": "false" };
  const plain = deployment("plain");
  plain.spec.template.metadata.labels = { app: "plain", ...labels } as never;
  const [pod] = (await assign(buildMesh(resourcesOf(plain)))).pods;
  assert.ok(pod !== undefined);
  assert.deepEqual([pod.proxied, pod.outboundSecret], [false, ""]);
  assert.deepEqual(
    pod.applicationPorts.map(({ host, port, socketPort }) => [host, port, socketPort]),
    [[pod.address, 8080, 8080]],
  );
});

test("assign() adds the ports that Services send to, with their protocols, to those of the containers", async () => {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "ns" },
    spec: {
      selector: { app: "web" },
      ports: [
        { name: "http", port: 80, targetPort: 8080 },
        { name: "tcp-ledger", port: 9000 },
      ],
    },
  };
  const [pod] = (await assign(buildMesh(resourcesOf(deployment("web"), service)))).pods;
  assert.deepEqual(
    pod?.applicationPorts.map(({ port, protocol }) => [port, protocol]),
    [
      [8080, "http"],
      [9000, "tcp"],
    ],
  );
});

test("assign() runs one pod of a DaemonSet, names pods and entries by themselves, and says what it leaves out", async () => {
  const kinds = [
    { ...deployment("agent"), kind: "DaemonSet" },
    { ...deployment("batch"), kind: "Job", apiVersion: "batch/v1" },
    { apiVersion: "v1", kind: "Pod", metadata: { name: "solo", namespace: "ns" }, spec: {} },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "WorkloadEntry",
      metadata: { name: "vm", namespace: "ns" },
      spec: { address: "10.0.0.9", serviceAccount: "vm" },
    },
  ];
  const { pods, skipped } = await assign(buildMesh(resourcesOf(...kinds)));
  assert.deepEqual(pods.map(({ name }) => name).sort(), ["agent-0", "solo", "vm"]);
  assert.deepEqual(skipped, [{ workload: "ns/batch", kind: "Job", why: "a Job is not run" }]);
});

test("assign() plays external hosts only when asked, each on its own address with all its ports", async () => {
  const mesh = buildMesh(resourcesOf(EXTERNAL));
  assert.deepEqual((await assign(mesh)).standIns, []);
  const { standIns } = await assign(mesh, NO_ASSIGNMENTS, false, true);
  assert.deepEqual(
    standIns.map(({ host, ports }) => [host, ports.map(({ port }) => port)]),
    [
      ["*.ibm.com", [7443, 7080, 7081]],
      ["ibm.com", [7443, 7080, 7081]],
    ],
  );
  assert.notEqual(standIns[0]?.address, standIns[1]?.address);
});

test("toPlacement() holds no secret and no application port", async () => {
  const assigned = await assign(
    buildMesh(resourcesOf(deployment("web"), EXTERNAL)),
    NO_ASSIGNMENTS,
    false,
    true,
  );
  const [pod] = assigned.pods;
  assert.ok(pod !== undefined);
  const text = JSON.stringify(toPlacement(assigned));
  assert.ok(
    !text.includes(pod.outboundSecret) && !text.includes(String(pod.applicationPorts[0]?.socketPort)),
  );
});

const INGRESS = {
  apiVersion: "networking.istio.io/v1",
  kind: "Gateway",
  metadata: { name: "front", namespace: "ns" },
  spec: {
    selector: { istio: "ingressgateway" },
    servers: [{ port: { number: 8080, name: "http", protocol: "HTTP" } }],
  },
};

test("provideStockGateways() adds the stock gateway that a Gateway counts on, once, and a mesh takes it for one", async () => {
  const { resources, provided } = provideStockGateways(resourcesOf(INGRESS));
  assert.deepEqual(provided, [
    { workload: "istio-system/istio-ingressgateway", selectedBy: ["Gateway ns/front"] },
  ]);
  assert.equal(provideStockGateways(resources).resources, resources, "a second time adds nothing");
  const mesh = buildMesh(resources);
  const [pod] = (await assign(mesh)).pods;
  assert.deepEqual([pod?.role, pod?.serviceAccount], ["gateway", "istio-ingressgateway-service-account"]);
});

test("provideStockGateways() adds nothing for a gateway that is there, nor for another selector", () => {
  const own = deployment("front");
  own.spec.template.metadata.labels = { istio: "ingressgateway" } as never;
  assert.deepEqual(provideStockGateways(resourcesOf(INGRESS, own)).provided, []);
  const other = { ...INGRESS, spec: { ...INGRESS.spec, selector: { istio: "my-gateway" } } };
  assert.deepEqual(provideStockGateways(resourcesOf(other)).provided, []);
  const narrower = {
    ...INGRESS,
    spec: { ...INGRESS.spec, selector: { istio: "ingressgateway", tier: "x" } },
  };
  assert.deepEqual(provideStockGateways(resourcesOf(narrower)).provided, []);
});
