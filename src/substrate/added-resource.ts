import type { Labels } from "../model/mesh.ts";
import { ADDED_AT_MS } from "../resources/added-at.ts";
import type { Resource } from "../resources/resource.ts";

/** A resource that no file has. It counts as younger than all that files have. */
export function addedResource(
  apiVersion: string,
  kind: string,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  labels: Labels,
  spec: unknown,
  sequence: number,
): Resource {
  const metadata = { name, namespace, labels };
  const span = { file: `stock gateway ${name}`, line: 1, column: 1, endLine: 1, endColumn: 1 };
  return {
    apiVersion,
    kind,
    name,
    namespace,
    labels,
    annotations: {},
    createdAt: ADDED_AT_MS + sequence,
    spec: spec ?? {},
    body: { apiVersion, kind, metadata, ...(spec === undefined ? {} : { spec }) },
    locate: () => span,
  };
}
