import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { decide } from "../../src/policy/decide.ts";
import { loadTexts } from "../../src/resources/load.ts";

async function meshDenying(...hosts: string[]) {
  const text = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example/web:1, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {hosts: ${JSON.stringify(hosts)}, ports: ["80"]}}]}]}
`;
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

for (const now of [
  ["admin.example", "admin.example:*"],
  ["admin.example", "admin.example:8*"],
  ["admin.example", "*.example:*", "a*"],
  ["admin.example", "[fe80::1]", "[fe80::1]:*"],
])
  test(`hosts that are denied with a port, ${now.join(" and ")}, are compared, by a host that a proxy reads`, async () => {
    const [before, after] = [await meshDenying("admin.example"), await meshDenying(...now)];
    const { changes, notAnalysed } = await diffMesh(before, after, { semantics: "istio" });
    assert.deepEqual(notAnalysed, []);
    assert.ok(changes.length > 0);
    for (const { witness, change } of changes) {
      assert.equal(change, "narrowed");
      assert.equal((await decide(before, witness)).allowed, true);
      assert.equal((await decide(after, witness)).allowed, false);
    }
  });
