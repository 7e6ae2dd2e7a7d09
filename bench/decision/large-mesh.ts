/**
 * A large mesh as files, the same for the same numbers: for each workload a ServiceAccount, a Service, a Deployment and an ALLOW policy of
 * its own, in the block style of `kubectl get -o yaml`; for each namespace PeerAuthentication, RequestAuthentication, a Sidecar and a DENY
 * policy; some VirtualServices and DestinationRules. About 2.8 kB a workload.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface LargeMesh {
  /** Of the files together. */
  readonly bytes: number;
  /** `namespace/name` */
  readonly workloads: readonly string[];
}

export interface MeshSize {
  readonly namespaces: number;
  /** In each namespace. */
  readonly workloads: number;
  /** Without Sidecar resources: every namespace sees every service. */
  readonly isOpen?: boolean;
}

/** 10,000 workloads, 28 MB. */
export const LARGE: MeshSize = { namespaces: 100, workloads: 100 };

/** Writes one file for each namespace, and one for the mesh. */
export function writeLargeMesh(folder: string, size: MeshSize): LargeMesh {
  mkdirSync(folder, { recursive: true });
  const files = new Map([["mesh.yaml", MESH]]);
  const workloads: string[] = [];
  for (let own = 0; own < size.namespaces; own++) {
    const documents = [
      ...namespaceText(own)
        .split("---\n")
        .filter((text) => !isLeftOut(text, size)),
    ];
    for (let at = 0; at < size.workloads; at++) {
      documents.push(workloadText(own, at, size));
      workloads.push(`${namespaceName(own)}/${workloadName(at)}`);
    }
    files.set(`${namespaceName(own)}.yaml`, documents.join("---\n"));
  }
  let bytes = 0;
  for (const [name, text] of files) {
    writeFileSync(join(folder, name), text);
    bytes += text.length;
  }
  return { bytes, workloads };
}

function isLeftOut(text: string, { isOpen }: MeshSize): boolean {
  return isOpen === true && /^kind: Sidecar$/m.test(text);
}

export function namespaceName(own: number): string {
  return `team-${String(own).padStart(3, "0")}`;
}

export function workloadName(at: number): string {
  return `service-${String(at).padStart(3, "0")}`;
}

/** Whom a workload's policy lets in: two of its own namespace, one of the next. */
export function callersOf(own: number, at: number, size: MeshSize): readonly string[] {
  const inside = (by: number): string =>
    `cluster.local/ns/${namespaceName(own)}/sa/${workloadName((at + by) % size.workloads)}`;
  const next = namespaceName((own + 1) % size.namespaces);
  return [inside(1), inside(7), `cluster.local/ns/${next}/sa/${workloadName(at)}`];
}

const MESH = `apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: istio-system
spec:
  mtls:
    mode: STRICT
`;

function namespaceText(own: number): string {
  const name = namespaceName(own);
  return `apiVersion: v1
kind: Namespace
metadata:
  labels:
    istio-injection: enabled
  name: ${name}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: default
  namespace: ${name}
spec:
  egress:
  - hosts:
    - ./*
    - ${namespaceName(Math.max(0, own - 1))}/*
    - istio-system/*
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: tokens
  namespace: ${name}
spec:
  jwtRules:
  - audiences:
    - ${name}
    issuer: https://issuer.example.com
    jwksUri: https://issuer.example.com/jwks.json
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: nobody-debugs
  namespace: ${name}
spec:
  action: DENY
  rules:
  - to:
    - operation:
        paths:
        - /debug/*
`;
}

function workloadText(own: number, at: number, size: MeshSize): string {
  const namespace = namespaceName(own);
  const name = workloadName(at);
  const documents = [
    accountText(namespace, name),
    serviceText(namespace, name),
    deploymentText(namespace, name, at),
    policyText(namespace, name, callersOf(own, at, size)),
    ...(at % 20 === 0 ? [routeText(namespace, name), ruleText(namespace, name)] : []),
  ];
  return documents.join("---\n");
}

function accountText(namespace: string, name: string): string {
  return `apiVersion: v1
kind: ServiceAccount
metadata:
  labels:
    app: ${name}
  name: ${name}
  namespace: ${namespace}
`;
}

function serviceText(namespace: string, name: string): string {
  return `apiVersion: v1
kind: Service
metadata:
  labels:
    app: ${name}
    app.kubernetes.io/managed-by: Helm
    app.kubernetes.io/name: ${name}
  name: ${name}
  namespace: ${namespace}
spec:
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: 8080
  - name: http-metrics
    port: 9090
    protocol: TCP
    targetPort: 9090
  selector:
    app: ${name}
  type: ClusterIP
`;
}

function deploymentText(namespace: string, name: string, at: number): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    deployment.kubernetes.io/revision: "${(at % 9) + 1}"
    meta.helm.sh/release-name: ${name}
    meta.helm.sh/release-namespace: ${namespace}
  labels:
    app: ${name}
    app.kubernetes.io/managed-by: Helm
    app.kubernetes.io/name: ${name}
    helm.sh/chart: service-2.14.0
  name: ${name}
  namespace: ${namespace}
spec:
  progressDeadlineSeconds: 600
  replicas: ${(at % 3) + 1}
  revisionHistoryLimit: 10
  selector:
    matchLabels:
      app: ${name}
  strategy:
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 25%
    type: RollingUpdate
  template:
    metadata:
      labels:
        app: ${name}
        version: v${(at % 4) + 1}
    spec:
      containers:
      - env:
        - name: LOG_LEVEL
          value: info
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              apiVersion: v1
              fieldPath: metadata.namespace
        - name: DATABASE_HOST
          value: database.${namespace}.svc.cluster.local
        image: registry.example.com/${namespace}/${name}:1.${at}.0
        imagePullPolicy: IfNotPresent
        name: app
        ports:
        - containerPort: 8080
          name: http
          protocol: TCP
        - containerPort: 9090
          name: metrics
          protocol: TCP
        readinessProbe:
          failureThreshold: 3
          httpGet:
            path: /healthz
            port: http
            scheme: HTTP
          periodSeconds: 10
        resources:
          limits:
            memory: 512Mi
          requests:
            cpu: 100m
            memory: 256Mi
      restartPolicy: Always
      serviceAccountName: ${name}
      terminationGracePeriodSeconds: 30
`;
}

function policyText(namespace: string, name: string, callers: readonly string[]): string {
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
${callers.map((caller) => `        - ${caller}`).join("\n")}
    to:
    - operation:
        methods:
        - GET
        - POST
        paths:
        - /api/*
        ports:
        - "8080"
  selector:
    matchLabels:
      app: ${name}
`;
}

function routeText(namespace: string, name: string): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  hosts:
  - ${name}.${namespace}.svc.cluster.local
  http:
  - route:
    - destination:
        host: ${name}.${namespace}.svc.cluster.local
    timeout: 5s
`;
}

function ruleText(namespace: string, name: string): string {
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  host: ${name}.${namespace}.svc.cluster.local
  trafficPolicy:
    connectionPool:
      http:
        http1MaxPendingRequests: 1024
`;
}
