/** What is said at start of gateways without certificates, and which pods are given Secrets. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfiguration } from "../../src/control/load-configuration.ts";
import { resourcesFor } from "../../src/control/pod-resources.ts";
import { toWire } from "../../src/resources/wire.ts";
import { CertificateForge } from "../../tools/corpus/live-certificates.ts";

const MESH = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: edge}
spec:
  selector: {istio: gw}
  servers:
    - port: {number: 443, name: good, protocol: HTTPS}
      hosts: [good.test]
      tls: {mode: SIMPLE, credentialName: good}
    - port: {number: 443, name: bad, protocol: HTTPS}
      hosts: [bad.test]
      tls: {mode: MUTUAL, credentialName: good}
    - port: {number: 443, name: none, protocol: HTTPS}
      hosts: [none.test]
      tls: {mode: SIMPLE, credentialName: none}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: edge, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {serviceAccountName: gw, containers: [{name: proxy, image: auto}]}
---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: edge, labels: {app: app}}
spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Secret
metadata: {name: unrelated, namespace: edge}
stringData: {password: x}
`;

test("a server without usable certificates is told of with its place; Secrets go to the gateway that uses them alone", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const { certificateChain, privateKey } = CertificateForge.alone().pem(["good.test"]);
  const secret = { "tls.crt": certificateChain, "tls.key": privateKey };
  const file = join(folder, "mesh.yaml");
  writeFileSync(
    file,
    `${MESH}---\napiVersion: v1\nkind: Secret\nmetadata: {name: good, namespace: edge}\nstringData: ${JSON.stringify(secret)}\n`,
  );
  const loaded = await loadConfiguration([file]);
  assert.ok(loaded.ok);
  assert.deepEqual(
    loaded.warnings
      .filter(({ code }) => code === "BW0905_GATEWAY_REFUSES")
      .map(({ span, message }) => [span?.file, span?.line, /no Secret|no `ca.crt`/.exec(message)?.[0]]),
    [
      [file, 12, "no `ca.crt`"],
      [file, 15, "no Secret"],
    ],
  );
  assert.ok(!JSON.stringify(loaded.warnings).includes("PRIVATE"));
  const secretsOf = (workload: string) =>
    resourcesFor(toWire(loaded.resources), loaded.mesh, workload)
      .filter(({ body }) => body.kind === "Secret")
      .map(({ body }) => (body.metadata as { name: string }).name);
  assert.deepEqual(secretsOf("edge/gw"), ["good"]);
  assert.deepEqual(secretsOf("edge/app"), []);
  assert.deepEqual(secretsOf("edge/nobody"), []);
});
