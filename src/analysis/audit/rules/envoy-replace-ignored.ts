import type { AuditContext } from "../audit-context.ts";
import { envoyPatches, isIgnored } from "../facts/envoy-patches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoyReplaceIgnored: AuditRule = {
  id: "BW0152",
  title: "A REPLACE of an EnvoyFilter that Istio passes by",
  severity: "high",
  same: { istio: "IST0152" },
  attacks: [],
  what: "Operation REPLACE on anything but NETWORK_FILTER, HTTP_FILTER and VIRTUAL_HOST.",
  why: "What it was to put in place, a limit or a check, is not there.",
  fix: "Use MERGE, or REMOVE and ADD.",
  claims: ["configuration-in-force"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const patch of audit.fact(envoyPatches))
    if (isIgnored(patch, "REPLACE"))
      yield { resource: patch.resource, path: patch.path, title: `REPLACE does nothing to ${patch.applyTo}` };
}
