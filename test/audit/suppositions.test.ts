/** What the audit says where the files leave something open: what is not there may stand elsewhere, and what was only supposed is said to be. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Finding } from "../../src/analysis/audit/finding.ts";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { auditFolder } from "./audit-folder.ts";

async function findings(yaml: string, ids: readonly string[]): Promise<readonly Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-audit-"));
  try {
    mkdirSync(join(folder, "mesh"));
    writeFileSync(join(folder, "mesh", "mesh.yaml"), yaml);
    const { found } = await auditFolder(
      join(folder, "mesh"),
      AUDIT_RULES.filter(({ id }) => ids.includes(id)),
    );
    return found.map(({ finding }) => finding);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const said = (found: readonly Finding[]): readonly string[] =>
  found.map(({ rule, severity, title }) => `${rule} ${severity} ${title}`);

const GATEWAY = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [shop.example.com], gateways: [web], http: [{route: [{destination: {host: web}}]}]}
`;
const INGRESS = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: edge}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  template:
    metadata: {labels: {istio: ingressgateway}, annotations: {inject.istio.io/templates: gateway}}
    spec: {containers: [{name: istio-proxy, image: auto}]}
`;

test("where no file has the pods of a Gateway, nobody is blamed for the namespace that they are supposed in", async () => {
  assert.deepEqual(said(await findings(GATEWAY, ["BW0833"])), [
    "BW0833 info it takes the gateway that Istio installs as `istio-system/istio-ingressgateway`: no file has it",
  ]);
  assert.deepEqual(said(await findings(GATEWAY + INGRESS, ["BW0833"])), [
    "BW0833 low it takes `edge/ingress`, a pod of another namespace",
  ]);
});

const OTHER_SERVICE = `
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {selector: {app: other}, ports: [{name: http, port: 80}]}
`;

test("the gateway that a Gateway is supposed to have brings no Services: a host is missing only where the files have some", async () => {
  assert.deepEqual(said(await findings(GATEWAY, ["BW0101"])), ["BW0101 info there is no host `web`"]);
  assert.deepEqual(said(await findings(GATEWAY + OTHER_SERVICE, ["BW0101"])), [
    "BW0101 medium there is no host `web`",
  ]);
});

const NAMESPACES = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example.com/web:1}]}
`;
const INJECTED =
  "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: pay, labels: {istio-injection: enabled}}\n";

test("where nothing asks for a proxy, the namespace outside of the mesh says what the other rules take it for", async () => {
  const [supposed] = await findings(NAMESPACES, ["BW0102"]);
  assert.match(supposed?.title ?? "", /they are taken to have sidecars$/);
  const [outside] = await findings(NAMESPACES + INJECTED, ["BW0102"]);
  assert.equal(outside?.title, "its pods get neither a sidecar nor a ztunnel");
});

const ADMISSION = `
---
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: PodSecurity
    configuration:
      apiVersion: pod-security.admission.config.k8s.io/v1
      kind: PodSecurityConfiguration
      defaults: {enforce: LEVEL}
`;

test("a namespace without a Pod Security Standard has that of the API server's own configuration", async () => {
  const unadmitted = async (level: string): Promise<number> =>
    (await findings(NAMESPACES + ADMISSION.replace("LEVEL", level), ["BW0508"])).length;
  assert.deepEqual([await unadmitted("privileged"), await unadmitted("baseline")], [1, 0]);
});

const PROXY = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: edge}
spec:
  selector: {matchLabels: {app: ingress}}
  template:
    metadata: {labels: {app: ingress}}
    spec: {containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks:
  - name: namespace.sidecar-injector.istio.io
    admissionReviewVersions: [v1]
    sideEffects: None
    clientConfig: {service: {name: istiod, namespace: istio-system}}
    namespaceSelector: {matchLabels: {istio-injection: enabled}}
`;
const EDGE = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: edge}\n";

test("whether the injector takes a namespace that no file has is not known", async () => {
  const severities = async (yaml: string): Promise<readonly string[]> =>
    (await findings(yaml, ["BW0146"])).map(({ severity }) => severity);
  assert.deepEqual(await severities(PROXY), ["info"]);
  assert.deepEqual(await severities(PROXY + EDGE), ["medium"]);
});
