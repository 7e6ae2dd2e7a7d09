/** What a gateway's routes lead to, also by other names of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../../src/policy/decide.ts";
import { gatewayDestinations } from "../../../src/policy/outbound/gateway-destinations.ts";
import { meshOf } from "./mesh-of.ts";

const MESH = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: edge}
spec:
  template:
    metadata: {labels: {istio: edge}}
    spec: {serviceAccountName: edge, containers: [{name: istio-proxy, args: [proxy, router]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec: {serviceAccountName: orders, containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}
status: {podIP: 10.1.2.3}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.9.0.1, selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}, {name: more, port: 81, targetPort: 8081}]}
`;

const ENTRY = "ServiceEntry shop/legacy";

function externalName(name: string, to: string, port = "{name: http, port: 80}"): string {
  return `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {type: ExternalName, externalName: ${to}, ports: [${port}]}
`;
}

function serviceEntry(spec: string): string {
  return `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: legacy, namespace: shop}
spec: {hosts: [legacy.corp], ports: [{number: 80, name: http, protocol: HTTP}], ${spec}}
`;
}

function meshTo(destination: string, more: string) {
  return meshOf(`${MESH}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec: {hosts: [shop.example], gateways: [edge/gw], http: [{route: [{destination: ${destination}}]}]}
${more}`);
}

/** `workload:port`, and by which entry. */
function ends(destination: string, more: string): readonly string[] {
  const mesh = meshTo(destination, more);
  const [gateway] = mesh.workloads.filter(({ role }) => role === "gateway");
  return gatewayDestinations(mesh, gateway ?? assert.fail()).map(
    ({ workload, port, entry }) => `${workload.key}:${port}${entry === undefined ? "" : ` by ${entry}`}`,
  );
}

test("a destination that is an ExternalName leads to the Service that it names, at the alias' own port, as can has it", async () => {
  const alias = externalName("old", "orders.shop.svc.cluster.local");
  assert.deepEqual(ends("{host: old}", alias), ["shop/orders:8080"]);
  assert.deepEqual(ends("{host: old, port: {number: 81}}", alias), ["shop/orders:8081"]);
  const twice = alias + externalName("older", "old.shop.svc.cluster.local");
  assert.deepEqual(ends("{host: older.shop.svc.cluster.local}", twice), ["shop/orders:8080"]);
  const request = { via: "edge/edge", to: { host: "shop.example", port: 80 }, path: "/" };
  const { hop } = await decide(meshTo("{host: old}", alias), request, { semantics: "istio" });
  assert.equal(hop, "shop/orders");
});

test("an ExternalName that leads out of the mesh, to nothing or to itself, has no pods", () => {
  assert.deepEqual(ends("{host: old}", externalName("old", "db.corp")), []);
  assert.deepEqual(ends("{host: old}", externalName("old", "gone.shop.svc.cluster.local")), []);
  const circle =
    externalName("old", "new.shop.svc.cluster.local") + externalName("new", "old.shop.svc.cluster.local");
  assert.deepEqual(ends("{host: old}", circle), []);
});

test("an entry's endpoint that is a pod's address, a Service's or its name, leads to the pods behind it, and names the entry", () => {
  const to = (endpoint: string, resolution = "STATIC") =>
    ends("{host: legacy.corp}", serviceEntry(`resolution: ${resolution}, endpoints: [{${endpoint}}]`));
  assert.deepEqual(to("address: 10.1.2.3, ports: {http: 8080}"), [`shop/orders:8080 by ${ENTRY}`]);
  assert.deepEqual(to("address: 10.9.0.1"), [`shop/orders:8080 by ${ENTRY}`]);
  for (const name of [
    "orders.shop.svc.cluster.local",
    "orders.shop.svc.cluster.local.",
    "orders.shop",
    "Orders",
  ])
    assert.deepEqual(to(`address: ${name}`, "DNS"), [`shop/orders:8080 by ${ENTRY}`], name);
  for (const other of ["10.1.2.4", "10.9.0.2"]) assert.deepEqual(to(`address: ${other}`), []);
  for (const other of ["orders.corp", "orders.other.svc.cluster.local"])
    assert.deepEqual(to(`address: ${other}`, "DNS"), []);
});

test("an entry that DNS resolves and that has no endpoints leads where the cluster's DNS has its own name", () => {
  const own = (host: string): string => serviceEntry("resolution: DNS").replace("legacy.corp", host);
  assert.deepEqual(ends("{host: orders.shop.svc}", own("orders.shop.svc")), [`shop/orders:8080 by ${ENTRY}`]);
  assert.deepEqual(ends("{host: legacy.corp}", own("legacy.corp")), []);
});
