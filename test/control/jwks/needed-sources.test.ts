import assert from "node:assert/strict";
import { test } from "node:test";
import { neededSources } from "../../../src/control/jwks/needed-sources.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import { fromWire } from "../../../src/resources/wire.ts";
import { provideStockGateways } from "../../../src/substrate/stock-gateways.ts";

const authentication = (name: string, spec: object) => ({
  apiVersion: "security.istio.io/v1",
  kind: "RequestAuthentication",
  metadata: { name, namespace: "ns" },
  spec: { jwtRules: [{ issuer: name, jwksUri: `https://${name}.example/keys` }], ...spec },
});

const BODIES = [
  {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "waypoint", namespace: "ns" },
    spec: {
      gatewayClassName: "istio-waypoint",
      listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
    },
  },
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "app", namespace: "ns", labels: { "sidecar.istio.io/inject": "true" } },
    spec: { containers: [{ name: "app" }] },
  },
  authentication("by-target", { targetRefs: [{ kind: "Service", group: "", name: "app" }] }),
  authentication("by-selector", {}),
];

test("a waypoint needs the keys of policies with targets, another proxy of those that select it, and none needs what it does not ask for", () => {
  const read = fromWire(BODIES.map((body, i) => ({ body, file: "test.yaml", createdAt: i })));
  const mesh = buildMesh(provideStockGateways(read).resources);
  const urls = (workloads: readonly string[]) =>
    Object.fromEntries(
      [...neededSources(mesh, new Set(workloads))].map(([key, sources]) => [
        key,
        sources.map(({ url }) => url),
      ]),
    );
  assert.deepEqual(urls(["ns/waypoint", "ns/app"]), {
    "ns/waypoint": ["https://by-target.example/keys"],
    "ns/app": ["https://by-selector.example/keys"],
  });
  assert.deepEqual(urls(["ns/app"]), { "ns/app": ["https://by-selector.example/keys"] });
});
