import assert from "node:assert/strict";
import { test } from "node:test";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import { fromWire } from "../../../src/resources/wire.ts";
import { type Assignments, NO_ASSIGNMENTS, toPlacement } from "../../../src/substrate/assignment.ts";
import { firstUidOf, meshTag, podAddresses, UIDS_OF_A_POD } from "../../../src/substrate/netns/addresses.ts";
import { netnsSubstrate } from "../../../src/substrate/netns/netns.ts";

type Body = Record<string, unknown>;

function meshOf(...bodies: readonly Body[]) {
  return buildMesh(fromWire(bodies.map((body, index) => ({ body, file: "test.yaml", createdAt: index }))));
}

function deployment(name: string, replicas: number, podSpec: Body = {}, annotations: Body = {}): Body {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "ns" },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { serviceAccountName: name, containers: [{ ports: [{ containerPort: 8080 }] }], ...podSpec },
      },
    },
  };
}

const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "ns" },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
};

function serviceEntry(name: string, hosts: readonly string[], resolution: string): Body {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name, namespace: "ns" },
    spec: {
      hosts,
      location: "MESH_EXTERNAL",
      resolution,
      ports: [{ number: 443, name: "tls", protocol: "TLS" }],
    },
  };
}

function assign(
  mesh: ReturnType<typeof meshOf>,
  previous: Assignments = NO_ASSIGNMENTS,
): Promise<Assignments> {
  return netnsSubstrate({ meshId: "test", simulateExternal: true }).assign(mesh, previous);
}

test("each pod has a slot, and by it addresses of both families, a link and users that no other has; kept while it is there", async () => {
  const first = await assign(meshOf(deployment("web", 3), deployment("db", 1)));
  for (const pick of ["address", "address6"] as const)
    assert.equal(new Set(first.pods.map((pod) => pod[pick])).size, 4);
  assert.equal(new Set(first.pods.map(({ network }) => network?.link)).size, 4);
  const uids = first.pods.map(({ network }) => network?.firstUid ?? 0).sort((a, b) => a - b);
  for (const [i, uid] of uids.entries()) if (i > 0) assert.ok(uid - (uids[i - 1] ?? 0) >= UIDS_OF_A_POD);
  const fewer = await assign(meshOf(deployment("web", 1), deployment("db", 2)), first);
  const kept = (assignments: Assignments, name: string) =>
    assignments.pods.find((pod) => pod.name === name && pod.address !== "");
  for (const name of ["web-0", "db-0"]) assert.deepEqual(kept(fewer, name), kept(first, name), name);
  const slots = new Set(first.pods.map(({ network }) => network?.slot));
  assert.ok(!slots.has(kept(fewer, "db-1")?.network?.slot), "a slot that is being freed was given anew");
});

test("users of all pods are where systemd leaves uids to nobody, whatever the mesh and the slot", () => {
  for (const tag of ["00000000", "ffffffff", meshTag("a"), meshTag("b")])
    for (const slot of [2, 300, 64_999]) {
      const uid = firstUidOf(tag, slot);
      assert.ok(uid >= 1_879_048_192 && uid + UIDS_OF_A_POD <= 2_147_352_575, `${tag} ${slot}`);
    }
  assert.deepEqual(podAddresses(258), { address: "10.244.1.2", address6: "fd00:10:244::102" });
});

test("services get addresses as a cluster and Istio give them: none for patterns, NONE, headless, and those that have one", async () => {
  const own = {
    ...SERVICE,
    metadata: { name: "own", namespace: "ns" },
    spec: { ...SERVICE.spec, clusterIP: "10.96.7.7" },
  };
  const headless = {
    ...SERVICE,
    metadata: { name: "h", namespace: "ns" },
    spec: { ...SERVICE.spec, clusterIP: "None" },
  };
  const mesh = meshOf(
    deployment("web", 1),
    SERVICE,
    own,
    headless,
    serviceEntry("a", ["*.ibm.com", "mongo1.composedb.com"], "DNS"),
    serviceEntry("b", ["none.example"], "NONE"),
  );
  const { virtualAddresses = [], standIns } = await assign(mesh);
  assert.deepEqual(
    virtualAddresses.map(({ hostname, address }) => [hostname, address.split(".").slice(0, 2).join(".")]),
    [
      ["web.ns.svc.cluster.local", "10.96"],
      ["mongo1.composedb.com", "240.240"],
    ],
  );
  const again = await assign(mesh);
  assert.deepEqual(again.virtualAddresses, virtualAddresses);
  assert.deepEqual(
    standIns.map(({ address, address6 }) => [address, address6]),
    [
      ["198.18.0.1", "2001:db8:18::1"],
      ["198.18.0.2", "2001:db8:18::2"],
      ["198.18.0.3", "2001:db8:18::3"],
    ],
  );
});

test("pods are spread over nodes; nodeName and nodeSelector bind them", async () => {
  const node = (name: string, labels: Body): Body => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
  });
  const nodes = [node("a", { zone: "x" }), node("b", { zone: "x" }), node("edge", { role: "edge" })];
  const nodesOf = async (...bodies: readonly Body[]) =>
    (await assign(meshOf(...bodies))).pods.map(({ network }) => network?.node);
  assert.deepEqual(await nodesOf(...nodes, deployment("w", 3, { nodeSelector: { zone: "x" } })), [
    "a",
    "b",
    "a",
  ]);
  assert.deepEqual(await nodesOf(...nodes, deployment("w", 1, { nodeName: "edge" })), ["edge"]);
  assert.deepEqual(await nodesOf(...nodes, deployment("w", 4)), ["a", "b", "edge", "a"]);
  assert.deepEqual(await nodesOf(deployment("w", 1, { nodeSelector: { role: "edge" } })), ["role-edge"]);
});

test("the application's user is the SecurityContext's, the container's before the pod's", async () => {
  const uidOf = async (podSpec: Body) =>
    (await assign(meshOf(deployment("w", 1, podSpec)))).pods[0]?.network?.applicationUid;
  assert.equal(await uidOf({}), 1000);
  assert.equal(await uidOf({ securityContext: { runAsUser: 7 } }), 7);
  const container = {
    containers: [{ securityContext: { runAsUser: 8 } }],
    securityContext: { runAsUser: 7 },
  };
  assert.equal(await uidOf(container), 8);
  assert.equal(await uidOf({ securityContext: { runAsUser: 70_000 } }), 1000);
});

test("a placement tells everybody where pods are, and nobody how they are made", async () => {
  const assignments = await assign(meshOf(deployment("web", 1), SERVICE));
  const placement = toPlacement(assignments);
  assert.deepEqual(Object.keys(placement.pods[0] ?? {}).sort(), [
    "address",
    "address6",
    "name",
    "replica",
    "workload",
  ]);
  assert.deepEqual(placement.virtualAddresses, assignments.virtualAddresses);
});

test("with a gateway for hosts outside only it may leave; without one every pod may", async () => {
  const gateway: Body = {
    apiVersion: "networking.istio.io/v1",
    kind: "Gateway",
    metadata: { name: "egress", namespace: "ns" },
    spec: {
      selector: { app: "egress" },
      servers: [
        {
          port: { number: 443, name: "tls", protocol: "TLS" },
          hosts: ["*.ibm.com"],
          tls: { mode: "PASSTHROUGH" },
        },
      ],
    },
  };
  const egress = deployment("egress", 1, {}, { "inject.istio.io/templates": "gateway" });
  const leaving = async (...bodies: readonly Body[]) =>
    (await assign(meshOf(...bodies))).pods.filter(({ network }) => network?.mayLeave).map(({ name }) => name);
  const entry = serviceEntry("ibm", ["www.ibm.com"], "DNS");
  assert.deepEqual(await leaving(deployment("web", 1), egress, gateway, entry), ["egress-0"]);
  assert.deepEqual(await leaving(deployment("web", 1), entry), ["web-0"]);
  // A gateway for other names is no way out.
  const other = serviceEntry("other", ["www.example.org"], "DNS");
  assert.deepEqual((await leaving(deployment("web", 1), egress, gateway, other)).sort(), [
    "egress-0",
    "web-0",
  ]);
});

test("ambient pods have no proxy of their own; each node that has some has one ztunnel, which stays the same; waypoints are proxies, not captured", async () => {
  const labelled = (body: Body, labels: Body): Body => {
    const copy = structuredClone(body) as { spec: { template: { metadata: { labels: Body } } } };
    copy.spec.template.metadata.labels = { ...copy.spec.template.metadata.labels, ...labels };
    return copy as unknown as Body;
  };
  const ambient = (name: string, podSpec: Body) =>
    labelled(deployment(name, 1, podSpec), { "istio.io/dataplane-mode": "ambient" });
  const waypoint = labelled(deployment("waypoint", 1), {
    "gateway.networking.k8s.io/gateway-name": "waypoint",
    "gateway.istio.io/managed": "istio.io-mesh-controller",
    "istio.io/dataplane-mode": "none",
    "sidecar.istio.io/inject": "false",
  });
  const sidecar = labelled(deployment("sidecar", 1, { nodeName: "c" }), {
    "sidecar.istio.io/inject": "true",
  });
  const mesh = meshOf(
    ambient("one", { nodeName: "b" }),
    ambient("two", { nodeName: "a" }),
    ambient("three", { nodeName: "a" }),
    sidecar,
    waypoint,
  );
  const first = await assign(mesh);
  const pod = (name: string) => first.pods.find((each) => each.name === name);
  assert.deepEqual(
    ["one-0", "sidecar-0", "waypoint-0"].map((name) => [pod(name)?.proxied, pod(name)?.ambient ?? false]),
    [
      [false, true],
      [true, false],
      [true, false],
    ],
  );
  assert.equal(pod("one-0")?.outboundSecret, "");
  assert.deepEqual(
    ["one-0", "sidecar-0", "waypoint-0"].map((name) => {
      const { interception, ambient: captured } = pod(name)?.network ?? {};
      return [interception !== undefined, captured !== undefined];
    }),
    [
      [false, true],
      [true, false],
      [false, false],
    ],
  );
  assert.deepEqual(
    first.ztunnels?.map(({ name, node, spiffeId }) => [name, node, spiffeId]),
    ["a", "b"].map((node) => [`ztunnel-${node}`, node, "spiffe://cluster.local/ns/istio-system/sa/ztunnel"]),
  );
  assert.deepEqual((await assign(mesh, first)).ztunnels, first.ztunnels);
  assert.deepEqual(
    (await assign(meshOf(ambient("one", { nodeName: "b" })), first)).ztunnels?.map(({ node }) => node),
    ["b"],
  );
  const moved = await assign(
    meshOf(labelled(deployment("one", 1, { nodeName: "b" }), { "sidecar.istio.io/inject": "true" }), sidecar),
    first,
  );
  const one = moved.pods.find(({ name }) => name === "one-0");
  assert.notEqual(one?.uid, pod("one-0")?.uid, "what was a token of the ambient pod is one of the sidecar's");
  assert.deepEqual([one?.address, one?.proxied], [pod("one-0")?.address, true]);
});
