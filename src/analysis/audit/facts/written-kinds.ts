/** What the files have any of: of what they have nothing, nobody can say that one is missing. */
import { isAdded } from "../../../resources/added-at.ts";
import type { AuditContext } from "../audit-context.ts";
import { podsOf } from "./pods.ts";

/** Gateways that are only supposed to be there bring Services of their own, which nobody wrote. */
export function areServicesWritten(audit: AuditContext): boolean {
  return audit.every("", "Service").some((service) => !isAdded(service));
}

/** Or templates of them. */
export function arePodsWritten(audit: AuditContext): boolean {
  return audit.fact(podsOf).some(({ resource }) => !isAdded(resource));
}
