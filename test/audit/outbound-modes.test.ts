/** REGISTRY_ONLY of Sidecars in a mesh of ALLOW_ANY: for whom it holds, and what holds below it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { egressAnywhere } from "../../src/analysis/audit/rules/egress-anywhere.ts";
import { registryOnly } from "../../src/analysis/audit/rules/registry-only.ts";
import { auditFolder } from "./audit-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "outbound-modes-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const deployment = (namespace: string, name: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {containers: [{name: main, image: registry.example.com/${name}:1}]}
`;

const sidecar = (namespace: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: ${namespace}}
spec: ${spec}
`;

const MESH = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: ALLOW_ANY}"}
`;

async function found(...texts: readonly string[]): Promise<readonly string[]> {
  writeFileSync(join(folder, "mesh.yaml"), [MESH, ...texts].join("---"));
  const audit = await auditFolder(folder, [egressAnywhere, registryOnly]);
  return audit.found.map(({ finding: { rule, resource, title } }) => `${rule} ${resource}: ${title}`);
}

const STRICT = "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}";

test("a Sidecar's REGISTRY_ONLY without a NetworkPolicy below it is told once, at the Sidecar that holds", async () => {
  assert.deepEqual(
    await found(sidecar("shop", STRICT), deployment("shop", "orders"), deployment("shop", "web")),
    [
      "BW0964 Sidecar shop/default: 2 workloads have no NetworkPolicy for what goes out: `shop/orders` is the first",
    ],
  );
});

test("a namespace's own Sidecar takes the place of the root namespace's, and without a mode the mesh's holds", async () => {
  const root = sidecar("istio-system", STRICT);
  assert.deepEqual(
    await found(root, sidecar("shop", '{egress: [{hosts: ["./*"]}]}'), deployment("shop", "orders")),
    ["BW0821 ConfigMap istio-system/istio: `ALLOW_ANY` lets 1 workload out to any host"],
  );
  assert.deepEqual(
    await found(root, sidecar("shop", "{outboundTrafficPolicy: {}}"), deployment("shop", "orders")),
    ["BW0964 Sidecar shop/default: 1 workload has no NetworkPolicy for what goes out: `shop/orders`"],
  );
});
