/** Namespaces that their owner calls sensitive, as `bulwark verify` reads it. */
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";

export const SENSITIVE_LABEL = "bulwark.dev/sensitive";

export function sensitiveNamespaces(audit: AuditContext): ReadonlyMap<string, Resource> {
  const own = audit.of("", "Namespace").filter(({ labels }) => labels[SENSITIVE_LABEL] === "true");
  return new Map(own.map((resource) => [resource.name, resource]));
}
