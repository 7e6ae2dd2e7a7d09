import assert from "node:assert/strict";
import { test } from "node:test";
import { serviceNames } from "../../src/dataplane/dns/service-names.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Placement } from "../../src/model/placement.ts";
import { withVirtualAddresses } from "../../src/model/virtual-addresses.ts";
import { fromWire } from "../../src/resources/wire.ts";

const service = (name: string, spec: Record<string, unknown>) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "ns" },
  spec: { selector: { app: "db" }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
});

const STATEFUL_SET = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "db", namespace: "ns" },
  spec: {
    replicas: 2,
    template: { metadata: { labels: { app: "db" } }, spec: { containers: [{ name: "c" }] } },
  },
};

const MESH = buildMesh(
  fromWire(
    [
      STATEFUL_SET,
      service("vip", {}),
      service("own", { clusterIP: "10.96.9.9" }),
      service("h", { clusterIP: "None" }),
    ].map((body, index) => ({ body, file: "test.yaml", createdAt: index })),
  ),
);

const pod = (replica: number) => ({
  name: `db-${replica}`,
  workload: "ns/db",
  replica,
  address: `10.244.0.${replica + 2}`,
  address6: `fd00:10:244::${replica + 2}`,
});

const PLACEMENT: Placement = {
  pods: [pod(0), pod(1)],
  standIns: [],
  privilegedPortOffset: 0,
  virtualAddresses: [
    { hostname: "vip.ns.svc.cluster.local", address: "10.96.1.1", address6: "fd00:10:96::101" },
  ],
};

test("a service without address has the given ones, one with keeps its own, a headless one has its pods'", () => {
  const { services } = withVirtualAddresses(MESH, PLACEMENT);
  const of = (name: string) => services.find((candidate) => candidate.name === name);
  assert.deepEqual(of("vip")?.addresses, ["10.96.1.1", "fd00:10:96::101"]);
  assert.deepEqual(of("own")?.addresses, ["10.96.9.9"]);
  assert.deepEqual(of("h")?.addresses, []);
  assert.deepEqual(
    of("h")?.endpoints.map(({ address }) => address),
    ["10.244.0.2", "fd00:10:244::2", "10.244.0.3", "fd00:10:244::3"],
  );
});

test("where a substrate gives no addresses the mesh is as it was", () => {
  const { virtualAddresses: _, ...without } = PLACEMENT;
  assert.equal(withVirtualAddresses(MESH, without), MESH);
});

test("names: a service's virtual address, all pods of a headless one, and each by its own name", () => {
  const lookUp = serviceNames(withVirtualAddresses(MESH, PLACEMENT), PLACEMENT, { serviceEntries: true });
  assert.deepEqual(lookUp("vip.ns.svc.cluster.local"), ["10.96.1.1", "fd00:10:96::101"]);
  assert.deepEqual(lookUp("h.ns.svc.cluster.local"), [
    "10.244.0.2",
    "fd00:10:244::2",
    "10.244.0.3",
    "fd00:10:244::3",
  ]);
  assert.deepEqual(lookUp("db-1.h.ns.svc.cluster.local"), ["10.244.0.3", "fd00:10:244::3"]);
  assert.equal(lookUp("db-1.vip.ns.svc.cluster.local"), undefined);
  assert.equal(lookUp("vip.ns"), undefined);
});
