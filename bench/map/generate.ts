/**
 * Meshes for the map, the same for the same numbers: workloads of four tiers in namespaces of ten, each with a Deployment, a Service and a
 * NetworkPolicy of its own (ingress from some of its own and another namespace, egress to them, DNS and a block of addresses).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PER_NAMESPACE = 10;
const TIERS: readonly string[] = ["web", "api", "worker", "store"];

/** @returns bytes written: a file for each namespace. */
export function writeMapMesh(folder: string, workloads: number): number {
  mkdirSync(folder, { recursive: true });
  const namespaces = Math.ceil(workloads / PER_NAMESPACE);
  let bytes = 0;
  for (let own = 0; own < namespaces; own++) {
    const count = Math.min(PER_NAMESPACE, workloads - own * PER_NAMESPACE);
    const documents = [namespaceText(own)];
    for (let at = 0; at < count; at++) documents.push(workloadText(own, at), policyText(own, at, namespaces));
    const text = documents.join("---\n");
    writeFileSync(join(folder, `${namespaceName(own)}.yaml`), text);
    bytes += text.length;
  }
  return bytes;
}

function namespaceName(own: number): string {
  return `team-${String(own).padStart(4, "0")}`;
}

function namespaceText(own: number): string {
  return `apiVersion: v1
kind: Namespace
metadata:
  name: ${namespaceName(own)}
  labels:
    team: t${own % 20}
`;
}

function workloadText(own: number, at: number): string {
  const [name, namespace] = [`service-${at}`, namespaceName(own)];
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: ${name}
  template:
    metadata:
      labels:
        app: ${name}
        tier: ${TIERS[at % TIERS.length]}
    spec:
      containers:
      - name: main
        image: example.com/${name}:1
        ports:
        - name: http
          containerPort: 8080
        - name: metrics
          containerPort: 9090
---
apiVersion: v1
kind: Service
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  selector:
    app: ${name}
  ports:
  - name: http
    port: 80
    targetPort: http
`;
}

function policyText(own: number, at: number, namespaces: number): string {
  const next = namespaceName((own + 1) % namespaces);
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: service-${at}
  namespace: ${namespaceName(own)}
spec:
  podSelector:
    matchLabels:
      app: service-${at}
  policyTypes:
  - Ingress
  - Egress
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: service-${(at + 1) % PER_NAMESPACE}
    - podSelector:
        matchLabels:
          tier: ${TIERS[(at + 3) % TIERS.length]}
      namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: ${next}
    ports:
    - port: http
  - from:
    - namespaceSelector:
        matchLabels:
          team: t${own % 20}
      podSelector:
        matchLabels:
          app: service-0
    ports:
    - port: 9090
  egress:
  - to:
    - namespaceSelector: {}
    ports:
    - port: 8080
    - port: 9090
  - to:
    - ipBlock:
        cidr: 10.${at}.0.0/16
    ports:
    - port: 443
  - ports:
    - port: 53
      protocol: UDP
`;
}
