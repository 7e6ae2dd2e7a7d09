/**
 * A mesh for `blast`, the same for the same numbers: that of `bench/verify` (an account and an AuthorizationPolicy for each workload, STRICT), and besides: every fourth namespace in ambient mode, every third isolated by a NetworkPolicy, nodes
 * of thirty pods, and in each namespace one account that may deploy there, one that reads Secrets, and one that may do nothing.
 */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writePolicyMesh } from "../verify/generate.ts";

const PER_NAMESPACE = 10;
const PER_NODE = 30;

export function writeBlastMesh(folder: string, workloads: number): void {
  writePolicyMesh(folder, workloads);
  const namespaces = Math.ceil(workloads / PER_NAMESPACE);
  for (let own = 0; own < namespaces; own++) {
    const namespace = `team-${String(own).padStart(4, "0")}`;
    const file = join(folder, `${namespace}.yaml`);
    const isAmbient = own % 4 === 3;
    let at = own * PER_NAMESPACE;
    const placed = readFileSync(file, "utf8")
      .replaceAll(
        "      serviceAccountName:",
        () => `      nodeName: node-${Math.floor(at++ / PER_NODE)}\n      serviceAccountName:`,
      )
      .replace(
        "{istio-injection: enabled}",
        isAmbient
          ? "{istio.io/dataplane-mode: ambient, pod-security.kubernetes.io/enforce: baseline}"
          : "{istio-injection: enabled, pod-security.kubernetes.io/enforce: baseline}",
      );
    writeFileSync(file, isAmbient ? withoutHttp(placed) : placed);
    appendFileSync(file, rights(namespace));
    if (own % 3 === 0)
      appendFileSync(file, isolation(namespace, `team-${String((own + 1) % namespaces).padStart(4, "0")}`));
  }
}

/** A ztunnel drops rules about requests. */
function withoutHttp(text: string): string {
  return text.replaceAll(/^ {4}to: .*\n/gm, "").replaceAll(/^ {2}- to: .*\n {4}from: .*\n/gm, "");
}

function rights(namespace: string): string {
  const role = (name: string, rule: string, account: string): string => `---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ${name}, namespace: ${namespace}}
rules: [${rule}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ${name}, namespace: ${namespace}}
subjects: [{kind: ServiceAccount, name: ${account}, namespace: ${namespace}}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${name}}
`;
  return [
    role("deploy", "{apiGroups: [apps], resources: [deployments], verbs: [create, patch]}", "service-0"),
    role("read-secrets", '{apiGroups: [""], resources: [secrets], verbs: [get, list]}', "service-1"),
    `---
apiVersion: v1
kind: ServiceAccount
metadata: {name: service-2, namespace: ${namespace}}
automountServiceAccountToken: false
`,
  ].join("");
}

function isolation(own: string, next: string): string {
  return `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolated, namespace: ${own}}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector: {}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ${next}}}
`;
}
