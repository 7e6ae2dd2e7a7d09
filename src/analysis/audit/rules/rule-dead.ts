import type { AuthorizationSpec } from "../../../policy/authorization-spec.ts";
import type { AuditContext } from "../audit-context.ts";
import { IDLE_BOUND, idleRules } from "../facts/rule-effects.ts";
import { asksForToken } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ruleDead: AuditRule = {
  id: "BW0602",
  title: "A rule of an AuthorizationPolicy that no request matches",
  severity: "high",
  attacks: ["M6"],
  what:
    "Rules of ALLOW and DENY policies whose conditions no request meets: they exclude each other (`principals` and `notPrincipals` of the same name, two `when` on one header that " +
    "hardly differ), or each path in them is one that normalisation never leaves. Rules that ask for tokens where no RequestAuthentication reads any are BW0608. " +
    IDLE_BOUND,
  why: "A DENY that matches nothing keeps nobody out: what it was written against goes through. An ALLOW that matches nothing refuses those whom it was written for.",
  fix: "Mend the conditions that exclude each other. The conditions of one `from`, `to` and `when` hold together; entries of a list are alternatives.",
  claims: ["policies-hold"],
  check: dead,
};

function* dead(audit: AuditContext): Iterable<Hit> {
  for (const { policy, rule, reason, action } of audit.fact(idleRules)) {
    const spec = (policy.spec as AuthorizationSpec).rules?.[rule] ?? {};
    if (reason !== "dead" || asksForToken(spec)) continue;
    const effect = action === "DENY" ? "it denies nothing" : "it allows nothing";
    yield {
      resource: policy,
      path: ["spec", "rules", rule],
      title: `no request matches \`rules[${rule}]\`: ${effect}`,
      severity: action === "DENY" ? "high" : "medium",
    };
  }
}
