import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh, type WholeDiff } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { loadTexts } from "../../src/resources/load.ts";

const namespace = (name: string, labels: string): string => `apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {${labels}}}
`;
const deployment = (where: string, name: string, labels = ""): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${where}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, ${labels}}}
    spec: {serviceAccountName: ${name}, containers: [{name: c, image: registry.example/c:1, ports: [{containerPort: 8080}]}]}
`;
const service = (selector: string): string => `apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.0.0.9, selector: {app: ${selector}}, ports: [{name: http, port: 80, targetPort: 8080}]}
`;
const AMBIENT = "istio.io/dataplane-mode: ambient";
const BASE = [namespace("shop", AMBIENT), deployment("shop", "web")];
const HOST = "orders.shop.svc.cluster.local";

async function meshOf(...texts: readonly string[]): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text: texts.join("---\n") }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

async function compared(before: Mesh, after: Mesh): Promise<WholeDiff> {
  const diff = await diffMesh(before, after, { semantics: "istio" });
  assert.deepEqual([diff.notAnalysed, diff.notCompared], [[], []]);
  return diff;
}

test("a service that is served now may be reached by pods in ambient mode, and its example is answered otherwise", async () => {
  const meshes = [
    await meshOf(...BASE, deployment("shop", "orders"), service("nobody")),
    await meshOf(...BASE, deployment("shop", "orders"), service("orders")),
  ] as const;
  const [change, ...others] = (await compared(...meshes)).clients;
  assert.deepEqual(others, []);
  assert.deepEqual(
    [change?.change, change?.clients.toSorted(), change?.dialled],
    ["widened", ["shop/orders", "shop/web"], [`${HOST}:80`]],
  );
  assert.deepEqual(
    change?.causes.map(({ resource }) => resource),
    ["Service shop/orders"],
  );
  const answers = await Promise.all(
    meshes.map(async (mesh) => (await can(mesh, [change?.witness ?? assert.fail()]))[0]?.allowed),
  );
  assert.deepEqual(answers, [false, true]);
  const [back] = (await compared(meshes[1], meshes[0])).clients;
  assert.equal(back?.change, "narrowed");
});

test("a server that leaves ambient mode is spoken to in clear, and the namespace or the pod is the cause", async () => {
  const before = await meshOf(...BASE, deployment("shop", "orders"), service("orders"));
  const after = await meshOf(
    ...BASE,
    deployment("shop", "orders", "istio.io/dataplane-mode: none"),
    service("orders"),
  );
  const { clients } = await compared(before, after);
  const own = clients.find(({ dialled }) => dialled.includes(`${HOST}:80`));
  assert.deepEqual(own?.weakens, ["mutual TLS of the mesh is no longer used"]);
  assert.deepEqual(
    own?.causes.map(({ resource }) => resource),
    ["Deployment shop/orders"],
  );
});

test("routes and outbound policies, which ztunnels do not know, change nothing for them", async () => {
  const own = [...BASE, deployment("shop", "orders"), service("orders")];
  const routes = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec: {hosts: [orders], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: orders}}]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`;
  const { clients } = await compared(await meshOf(...own), await meshOf(...own, routes));
  assert.deepEqual(clients, []);
});
