import type { AuditContext } from "../audit-context.ts";
import { envoyPatches, isIgnored } from "../facts/envoy-patches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoyAddIgnored: AuditRule = {
  id: "BW0153",
  title: "An ADD of an EnvoyFilter that Istio passes by",
  severity: "high",
  same: { istio: "IST0153" },
  attacks: [],
  what: "Operation ADD on ROUTE_CONFIGURATION or HTTP_ROUTE.",
  why: "What it was to add is not there.",
  fix: "Use MERGE or INSERT_FIRST.",
  claims: ["configuration-in-force"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const patch of audit.fact(envoyPatches))
    if (isIgnored(patch, "ADD"))
      yield { resource: patch.resource, path: patch.path, title: `ADD does nothing to ${patch.applyTo}` };
}
