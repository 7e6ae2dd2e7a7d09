/** Meshes of Gateway API resources, written as objects. */
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { FieldPath, Resource } from "../../../src/resources/resource.ts";

export interface Rest {
  readonly namespace?: string;
  readonly createdAt?: number;
  readonly apiVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Its places are told as `kind name path`. */
export function gatewayResource(kind: string, name: string, spec: unknown, rest: Rest = {}): Resource {
  const { namespace = "foo", createdAt = 0, apiVersion = "gateway.networking.k8s.io/v1", labels = {} } = rest;
  return {
    apiVersion,
    kind,
    name,
    namespace,
    labels,
    annotations: {},
    createdAt,
    spec,
    body: { spec, metadata: { labels } },
    locate: (path: FieldPath) => ({
      file: `${kind} ${name} ${path.join(".")}`,
      line: 1,
      column: 1,
      endLine: 1,
      endColumn: 1,
    }),
  };
}

const core = (kind: string, name: string, spec: unknown, rest: Rest = {}): Resource =>
  gatewayResource(kind, name, spec, { apiVersion: "v1", ...rest });

/** A Service on port 80 with a pod behind it; `labels` are the pod's. */
export function service(namespace: string, name: string, labels: Rest["labels"] = {}): readonly Resource[] {
  return [
    core("Service", name, { selector: { app: name }, ports: [{ name: "http", port: 80 }] }, { namespace }),
    core("Pod", name, { containers: [{ name: "app" }] }, { namespace, labels: { app: name, ...labels } }),
  ];
}

export function namespace(name: string, labels: Readonly<Record<string, string>>): Resource {
  return core("Namespace", name, undefined, { namespace: "", labels });
}

export function gatewayMesh(...resources: readonly Resource[]): Mesh {
  return buildMesh([...resources]);
}
