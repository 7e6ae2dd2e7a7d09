/** Meshes written in the test itself. */
import { loadAll } from "js-yaml";
import { buildMesh, findWorkload } from "../../../src/model/build-mesh.ts";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";

interface Body {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: unknown;
}

/** Resources are as old as they stand: the first is the oldest. */
export function meshOf(yaml: string): Mesh {
  const bodies = (loadAll(yaml) as (Body | null)[]).filter((body) => body !== null);
  return buildMesh(bodies.map(toResource));
}

function toResource(body: Body, index: number): Resource {
  const { name, namespace = "default", labels = {}, annotations = {} } = body.metadata;
  return {
    apiVersion: body.apiVersion,
    kind: body.kind,
    name,
    namespace: body.kind === "Namespace" ? "" : namespace,
    labels,
    annotations,
    createdAt: index,
    spec: body.spec ?? {},
    body: { ...body },
    locate: () => ({ file: "test.yaml", line: 1, column: 1, endLine: 1, endColumn: 1 }),
  };
}

export function workloadOf(mesh: Mesh, key: string): Workload {
  const workload = findWorkload(mesh, key);
  if (workload === undefined) throw new Error(`no workload ${key}`);
  return workload;
}

/** A Deployment of one container with a Service of the same name on port 80, HTTP, target 8080. */
export function app(namespace: string, name: string, labels: Record<string, string> = {}): string {
  const all = JSON.stringify({ app: name, ...labels });
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-raw, port: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  template:
    metadata: {labels: ${all}}
    spec:
      serviceAccountName: ${name}
      containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]
---
`;
}
