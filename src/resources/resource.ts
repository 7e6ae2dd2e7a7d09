import type { Span } from "./diagnostic.ts";

/** A path into a resource, as JSON would be walked: `["spec", "rules", 0, "from"]`. */
export type FieldPath = readonly (string | number)[];

/**
 * One Kubernetes or Istio object as it was read, with the way back to its text.
 * `Spec` is the type of `spec` from the package that is generated from the CRDs.
 */
export interface Resource<Spec = unknown> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Empty for kinds that have no namespace. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /**
   * Milliseconds since the epoch. Files rarely carry `creationTimestamp`; those without count as created in the
   * order of their documents, after all that have one (Istio resolves conflicts by age).
   */
  readonly createdAt: number;
  /** The file it was read from. */
  readonly file?: string;
  readonly spec: Spec;
  /** The whole object: `data`, `status` and whatever else is not in `spec`. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Where the field (or its nearest existing parent) stands. Computed on demand: positions cost ten times the parse. */
  locate(path: FieldPath): Span;
}

/** `Kind namespace/name`, the name every message and verdict uses. */
export function resourceName(resource: { kind: string; namespace: string; name: string }): string {
  return `${resource.kind} ${resource.namespace === "" ? "" : `${resource.namespace}/`}${resource.name}`;
}

/** Istio's order for conflicts: oldest first, then name, then namespace. */
export function byAge(a: Resource, b: Resource): number {
  if (a.createdAt !== b.createdAt) return a.createdAt - b.createdAt;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : 0;
}
