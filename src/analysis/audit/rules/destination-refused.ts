import type { AuditContext } from "../audit-context.ts";
import { choiceHit, choiceText, tlsChoices } from "../facts/destination-tls.ts";
import { strictBy } from "../facts/wide-tls.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const destinationRefused: AuditRule = {
  id: "BW0650",
  title: "A DestinationRule that has clients speak otherwise than a STRICT server listens",
  severity: "medium",
  same: { kiali: "KIA0207" },
  attacks: ["M1"],
  what:
    "DestinationRules whose `tls.mode` (of the rule, a port or a subset) is DISABLE or SIMPLE for a service of the mesh with an endpoint behind a sidecar that is STRICT at that port. Clients' sidecars do as the rule says, " +
    "whatever the server wants. A rule that is more specific, in the same namespace, is taken into account; endpoints in ambient mode, which are spoken to through HBONE all the same, are not told.",
  why: "Every call fails. The quick way out is PERMISSIVE at the server, which opens it to callers without an identity.",
  fix: "Take `tls` away, so that clients use mutual TLS by themselves, or write ISTIO_MUTUAL.",
  claims: ["mutual-tls", "configuration-in-force"],
  check: refused,
};

function* refused(audit: AuditContext): Iterable<Hit> {
  for (const choice of audit.fact(tlsChoices))
    if (choice.server === "STRICT")
      yield {
        ...choiceHit(audit, choice, `calls of ${choiceText(choice)} fail: the server is STRICT`),
        ...(strictBy(audit, choice.rule.namespace) === "mesh" ? { kiali: "KIA0208" } : {}),
      };
}
