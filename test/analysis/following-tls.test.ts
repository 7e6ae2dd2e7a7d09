import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { loadTexts } from "../../src/resources/load.ts";

const pods = (name: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {serviceAccountName: ${name}, containers: [{name: ${name}, image: registry.example/${name}:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
`;

/** The whole mesh by one mode, and `orders` by its own. */
async function meshOf(mode: string, own: string): Promise<Mesh> {
  const text = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
${pods("web")}${pods("orders")}apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: ${mode}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: orders, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, mtls: {mode: ${own}}}
`;
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

test("clients that come to speak mutual TLS to a server that asked for it all along are told: they were refused", async () => {
  const meshes = [await meshOf("DISABLE", "STRICT"), await meshOf("PERMISSIVE", "STRICT")] as const;
  const { changes, clients } = await diffMesh(...meshes, { semantics: "istio" });
  assert.ok(changes.every(({ workloads }) => !workloads.includes("shop/orders")));
  const told = clients.filter(({ dialled }) => dialled.includes("orders.shop.svc.cluster.local:80"));
  assert.deepEqual(
    told.map(({ change, gained }) => [change, gained]),
    [["widened", ["the host dialled, by mutual TLS of the mesh"]]],
  );
  for (const { witness } of told) {
    const answers: boolean[] = [];
    for (const mesh of meshes)
      answers.push((await can(mesh, [witness], { semantics: "istio" }))[0]?.allowed ?? assert.fail());
    assert.deepEqual(answers, [false, true]);
  }
});

test("TLS that follows a server's own change is told of the server alone", async () => {
  const meshes = [await meshOf("PERMISSIVE", "DISABLE"), await meshOf("PERMISSIVE", "STRICT")] as const;
  const { changes, clients } = await diffMesh(...meshes, { semantics: "istio" });
  assert.ok(changes.some(({ workloads }) => workloads.includes("shop/orders")));
  assert.deepEqual(clients, []);
});
