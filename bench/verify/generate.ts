/**
 * Meshes for `verify` and `diff`, the same for the same numbers: workloads in namespaces of ten, each with a Deployment, a Service and an AuthorizationPolicy
 * of its own; mutual TLS everywhere; and invariants of which each is for one namespace's workloads or for all.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PER_NAMESPACE = 10;

/** @param changed of so many workloads the policy says something else: each lets one more method through. */
export function writePolicyMesh(folder: string, workloads: number, changed = 0): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "mesh.yaml"), STRICT);
  const namespaces = Math.ceil(workloads / PER_NAMESPACE);
  const step = changed === 0 ? Infinity : Math.floor(workloads / changed);
  for (let own = 0; own < namespaces; own++) {
    const documents = [namespaceText(own)];
    for (let at = 0; at < Math.min(PER_NAMESPACE, workloads - own * PER_NAMESPACE); at++) {
      const isChanged = (own * PER_NAMESPACE + at) % step === 0 && changed > 0;
      documents.push(workloadText(own, at), policyText(own, at, namespaces, isChanged));
    }
    writeFileSync(join(folder, `${namespaceName(own)}.yaml`), documents.join("---\n"));
  }
}

/** @param forAll how many of them select every workload; the others, one namespace each. */
export function writeInvariants(file: string, count: number, forAll: number, workloads: number): void {
  const namespaces = Math.ceil(workloads / PER_NAMESPACE);
  const documents = Array.from({ length: count }, (_, at) => {
    const namespace = at < forAll ? "istio-system" : namespaceName(Math.floor((at * namespaces) / count));
    return `apiVersion: bulwark.dev/v1
kind: AccessInvariant
metadata: {name: own-${at}, namespace: ${namespace}}
spec:
  ${RULES[at % RULES.length]?.replaceAll("NUMBER", String(at))}
`;
  });
  writeFileSync(file, documents.join("---\n"));
}

const RULES: readonly string[] = [
  'never:\n    - from: [{source: {notPrincipals: ["*"]}}]',
  "never:\n    - to: [{operation: {methods: [DELETE], paths: [/admin/NUMBER/*]}}]",
  'only:\n    - from: [{source: {principals: ["cluster.local/*"]}}]',
  "never:\n    - from: [{source: {namespaces: [outside-NUMBER]}}]",
];

const STRICT = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;

function namespaceName(own: number): string {
  return `team-${String(own).padStart(4, "0")}`;
}

function namespaceText(own: number): string {
  return `apiVersion: v1
kind: Namespace
metadata:
  name: ${namespaceName(own)}
  labels: {istio-injection: enabled}
`;
}

function workloadText(own: number, at: number): string {
  const [name, namespace] = [`service-${at}`, namespaceName(own)];
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector:
    matchLabels: {app: ${name}}
  template:
    metadata:
      labels: {app: ${name}}
    spec:
      serviceAccountName: ${name}
      containers:
      - name: main
        image: example.com/${name}:1
        ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {app: ${name}}
  ports: [{name: http, port: 80, targetPort: http}]
`;
}

function policyText(own: number, at: number, namespaces: number, isChanged: boolean): string {
  const callers = [
    `cluster.local/ns/${namespaceName(own)}/sa/service-${(at + 1) % PER_NAMESPACE}`,
    `cluster.local/ns/${namespaceName((own + 1) % namespaces)}/sa/service-${(at + 3) % PER_NAMESPACE}`,
  ];
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: service-${at}, namespace: ${namespaceName(own)}}
spec:
  selector:
    matchLabels: {app: service-${at}}
  rules:
  - from: [{source: {principals: [${callers.join(", ")}]}}]
    to: [{operation: {methods: [GET, ${isChanged ? "POST, PUT" : "POST"}], paths: [/api/v${at % 3}/*, /items]}}]
  - to: [{operation: {methods: [GET], paths: [/healthz]}}]
    from: [{source: {namespaces: [${namespaceName(own)}]}}]
`;
}
