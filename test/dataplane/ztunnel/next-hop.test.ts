import assert from "node:assert/strict";
import { test } from "node:test";
import { nextHop, wayName, wayOf } from "../../../src/dataplane/ztunnel/next-hop.ts";
import { type ZtunnelSnapshot, ztunnelSnapshot } from "../../../src/dataplane/ztunnel/ztunnel-snapshot.ts";
import { withVirtualAddresses } from "../../../src/model/virtual-addresses.ts";
import { ambientRoute } from "../../../src/policy/ambient/ambient-route.ts";
import { meshOf } from "../mesh-fixture.ts";

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: m, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: m}
spec:
  replicas: 3
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: m, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: m}
spec: {selector: {app: server}, ports: [{name: tcp, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: m}
spec: {hosts: [api.example.com], resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 443, targetPort: 8443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: n, namespace: m}
spec: {hosts: [named.example.com], resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: far.example.com}]}
---
`;
const PODS = [0, 1, 2].map((replica) => ({
  name: `server-${replica}`,
  workload: "m/server",
  replica,
  address: `10.0.0.${replica + 1}`,
  address6: `fd00::${replica + 1}`,
}));
const VIRTUAL = [
  { hostname: "s.m.svc.cluster.local", address: "10.96.0.1", address6: "fd00:96::1" },
  { hostname: "api.example.com", address: "240.0.0.1" },
  { hostname: "named.example.com", address: "240.0.0.2" },
];
const STAND_INS = [
  { host: "api.example.com", address: "127.1.0.1" },
  { host: "far.example.com", address: "127.1.0.2" },
];
const SERVER = "spiffe://cluster.local/ns/m/sa/server";

function snapshotOf(pods = PODS): ZtunnelSnapshot {
  const placement = { pods, standIns: STAND_INS, virtualAddresses: VIRTUAL, privilegedPortOffset: 0 };
  return ztunnelSnapshot(withVirtualAddresses(meshOf(MESH), placement), placement, "strict");
}

async function hopTo(snapshot: ZtunnelSnapshot, ip: string, port: number) {
  const { mesh, directory } = snapshot;
  const client = directory.workloads.get("m/client");
  assert.ok(client !== undefined);
  const way = wayOf(ambientRoute(mesh, client, { ip, port }, { directory }), { ip, port }, Math.random());
  assert.ok(way !== undefined && way.kind !== "unknown");
  return { name: wayName(way), target: await nextHop(snapshot, way, { ip, port }, { traceparent: "t" }) };
}

test("a service's connections go to each of its pods, by the family that was dialled, each to its own address inside of the tunnel", async () => {
  const snapshot = snapshotOf();
  for (const [ip, family] of [
    ["10.96.0.1", PODS.map(({ address }) => address)],
    ["fd00:96::1", PODS.map(({ address6 }) => address6)],
  ] as const) {
    const reached = new Set<string>();
    for (let attempt = 0; attempt < 200; attempt++) {
      const { name, target } = await hopTo(snapshot, ip, 80);
      const { host } = target;
      assert.equal(name, "m/server:8080");
      const authority = host.includes(":") ? `[${host}]:8080` : `${host}:8080`;
      assert.deepEqual(target.tunnel, {
        host,
        port: 15008,
        authority,
        sans: [SERVER],
        headers: { traceparent: "t" },
      });
      assert.equal(target.tls, undefined);
      reached.add(host);
    }
    assert.deepEqual([...reached].sort(), [...family].sort());
  }
});

test("one pod's address leads to that pod alone", async () => {
  const snapshot = snapshotOf();
  for (const ip of ["10.0.0.2", "fd00::2"])
    for (let attempt = 0; attempt < 20; attempt++)
      assert.equal((await hopTo(snapshot, ip, 8080)).target.host, ip);
});

test("a service without a pod that runs is reached nowhere, least of all in clear", async () => {
  await assert.rejects(hopTo(snapshotOf([]), "10.96.0.1", 80), { code: "BW_UPSTREAM_NONE" });
});

test("hosts of ServiceEntries are resolved, by their own name or their endpoints'; what is nobody's is dialled as it is", async () => {
  const snapshot = snapshotOf();
  const reached = async (ip: string) => {
    const { name, target } = await hopTo(snapshot, ip, 443);
    return [name, target.host, target.port, target.tunnel, target.tls];
  };
  assert.deepEqual(await reached("240.0.0.1"), [
    "PassthroughCluster",
    "127.1.0.1",
    8443,
    undefined,
    undefined,
  ]);
  assert.deepEqual(await reached("240.0.0.2"), [
    "PassthroughCluster",
    "127.1.0.2",
    443,
    undefined,
    undefined,
  ]);
  assert.deepEqual(await reached("192.0.2.7"), [
    "PassthroughCluster",
    "192.0.2.7",
    443,
    undefined,
    undefined,
  ]);
});
