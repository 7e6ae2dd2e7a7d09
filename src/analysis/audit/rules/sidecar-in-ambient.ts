import type { AuditContext } from "../audit-context.ts";
import { ambientSidecars } from "../facts/sidecars.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarInAmbient: AuditRule = {
  id: "BW0167",
  title: "A Sidecar for pods that have none",
  severity: "medium",
  same: { istio: "IST0167" },
  attacks: ["E1"],
  what: "A Sidecar without a selector in a namespace in ambient mode, or one whose selector takes a pod that ztunnel serves (annotation `ambient.istio.io/redirection: enabled`).",
  why: "ztunnel does not read it: what it hides is seen, and its REGISTRY_ONLY is not in force.",
  fix: "Remove it; hold egress by a waypoint, an egress gateway or a NetworkPolicy.",
  claims: ["configuration-in-force"],
  check: unread,
};

function* unread(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.fact(ambientSidecars))
    yield { resource, title: "its pods are served by ztunnel, which does not read Sidecars" };
}
