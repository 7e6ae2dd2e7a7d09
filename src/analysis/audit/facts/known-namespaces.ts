/** Namespaces that the files speak of. */
import type { AuditContext } from "../audit-context.ts";

export interface KnownNamespaces {
  readonly names: ReadonlySet<string>;
  /** Whether the files have Namespaces at all; otherwise they stand elsewhere. */
  readonly areWritten: boolean;
}

/** Namespaces that are written, those that resources are in, and the root namespace. */
export function knownNamespaces(audit: AuditContext): KnownNamespaces {
  const written = audit.every("", "Namespace").map(({ name }) => name);
  const used = audit.mesh.resources.map(({ namespace }) => namespace);
  return {
    names: new Set([...written, ...used, audit.mesh.config.rootNamespace, "kube-system", "default"]),
    areWritten: written.length > 0,
  };
}
