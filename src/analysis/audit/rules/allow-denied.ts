import type { AuditContext } from "../audit-context.ts";
import { ruleText } from "../facts/idle-rule.ts";
import { IDLE_BOUND, idleRules } from "../facts/rule-effects.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const allowDenied: AuditRule = {
  id: "BW0603",
  title: "An ALLOW rule of which DENY rules refuse everything",
  severity: "medium",
  attacks: [],
  what:
    "Rules of ALLOW policies of which not one request gets through, because DENY policies of the same workload match all of them, whichever ALLOW comes before: DENY always wins. " +
    `At every workload that the policy selects. ${IDLE_BOUND}`,
  why: "Two policies contradict each other. Whoever looks at the ALLOW believes that the way is open, and when it is missed, the DENY is what is taken away in haste, with all else that it kept out.",
  fix: "Except what is meant to pass from the DENY (`notPrincipals`, `notPaths` …), or take the ALLOW away.",
  claims: ["configuration-in-force"],
  check: denied,
};

function* denied(audit: AuditContext): Iterable<Hit> {
  for (const { policy, rule, reason, by, witness } of audit.fact(idleRules)) {
    if (reason !== "denied") continue;
    const [one] = by;
    yield {
      resource: policy,
      path: ["spec", "rules", rule],
      title: `all that \`rules[${rule}]\` allows is denied by ${one === undefined ? "DENY rules together" : ruleText(one)}`,
      ...(witness === undefined ? {} : { witness }),
    };
  }
}
