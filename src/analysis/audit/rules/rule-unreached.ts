import type { AuditContext } from "../audit-context.ts";
import { IDLE_BOUND, idleRules } from "../facts/rule-effects.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ruleUnreached: AuditRule = {
  id: "BW0604",
  title: "A rule of an AuthorizationPolicy for requests that never get as far",
  severity: "medium",
  attacks: ["M1"],
  what:
    "Rules of ALLOW and DENY policies that match requests, but none that gets as far as authorization at any workload of the policy: the port's mutual TLS mode has refused them " +
    "(callers without an identity at a STRICT port), or shows nobody's identity (names asked for at a port with mode DISABLE, where TLS goes by undecrypted). " +
    IDLE_BOUND,
  why: "A DENY by name at a port without mutual TLS keeps nobody out: no caller has a name there. An ALLOW by name there lets nobody in, and an ALLOW for plaintext at a STRICT port neither.",
  fix: "Bring the rule and PeerAuthentication together: names need mutual TLS at that port; plaintext needs PERMISSIVE.",
  claims: ["policies-hold"],
  check: unreached,
};

function* unreached(audit: AuditContext): Iterable<Hit> {
  for (const { policy, rule, reason, action, workload } of audit.fact(idleRules)) {
    if (reason !== "unreached") continue;
    yield {
      resource: policy,
      path: ["spec", "rules", rule],
      title: `\`rules[${rule}]\` is about requests that mutual TLS settles before: at \`${workload}\`, for one`,
      severity: action === "DENY" ? "high" : "medium",
    };
  }
}
