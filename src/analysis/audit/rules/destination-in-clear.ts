import type { AuditContext } from "../audit-context.ts";
import { choiceHit, choiceText, tlsChoices } from "../facts/destination-tls.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const destinationInClear: AuditRule = {
  id: "BW0651",
  title: "A DestinationRule that switches off mutual TLS between workloads of the mesh",
  severity: "high",
  attacks: ["M1", "M3"],
  what:
    "DestinationRules whose `tls.mode` (of the rule, a port or a subset) is DISABLE for a service of the mesh, one of whose endpoints is behind a sidecar that takes mutual TLS (PERMISSIVE at that port). " +
    "Servers with mode DISABLE, which could not speak it, are not told.",
  why: "What could be encrypted goes over the network in clear, the client's identity is lost, so that policies by name do not hold, and nobody checks who the server is.",
  fix: "Take `tls` away, so that clients use mutual TLS by themselves.",
  claims: ["mutual-tls", "servers-verified"],
  check: inClear,
};

function* inClear(audit: AuditContext): Iterable<Hit> {
  for (const choice of audit.fact(tlsChoices))
    if (choice.server === "PERMISSIVE" && choice.mode === "DISABLE")
      yield choiceHit(
        audit,
        choice,
        `calls of ${choiceText(choice)} go in clear, though the server takes mutual TLS`,
      );
}
