import type { AuditContext } from "../audit-context.ts";
import { envoyPatches, isIgnored } from "../facts/envoy-patches.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const envoyRemoveIgnored: AuditRule = {
  id: "BW0154",
  title: "A REMOVE of an EnvoyFilter that Istio passes by",
  severity: "high",
  same: { istio: "IST0154" },
  attacks: [],
  what: "Operation REMOVE on ROUTE_CONFIGURATION or HTTP_ROUTE.",
  why: "What it was to take away, such as a route, is still there.",
  fix: "Remove the virtual host, or mend the VirtualService.",
  claims: ["configuration-in-force"],
  check: found,
};

function* found(audit: AuditContext): Iterable<Hit> {
  for (const patch of audit.fact(envoyPatches))
    if (isIgnored(patch, "REMOVE"))
      yield { resource: patch.resource, path: patch.path, title: `REMOVE does nothing to ${patch.applyTo}` };
}
