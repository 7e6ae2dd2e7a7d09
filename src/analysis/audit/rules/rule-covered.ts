import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type IdleRule, ruleText } from "../facts/idle-rule.ts";
import { IDLE_BOUND, idleAnalysis, idleRules } from "../facts/rule-effects.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const ruleCovered: AuditRule = {
  id: "BW0601",
  title: "A rule of an AuthorizationPolicy that others make redundant",
  severity: "low",
  attacks: [],
  what:
    "Rules of ALLOW and DENY policies without which every request would be decided as it is with them, at every workload that the policy selects: other rules of the " +
    `same action match all that this one matches. All rules that are told can go together. ${IDLE_BOUND}`,
  why: "Whoever narrows this rule to keep somebody out keeps nobody out: the other rule still lets them in. Of a DENY: whoever relies on it does not see that the other one carries it alone.",
  fix: "Take the rule away; or, where it was meant to be the limit, narrow the rule that covers it.",
  claims: [],
  check: covered,
};

function* covered(audit: AuditContext): Iterable<Hit> {
  const idle = audit.fact(idleRules);
  const perPolicy = Map.groupBy(idle, ({ policy }) => policy);
  for (const own of idle)
    if (own.reason === "covered") yield hitOf(own, perPolicy.get(own.policy)?.length === 1);
  const { tooComplex, leftOut } = audit.fact(idleAnalysis);
  const [first] = tooComplex;
  if (first !== undefined)
    yield notAnalysed(
      `${tooComplex.length} kinds of workloads, \`${first}\` for one, have policies too complex for it`,
    );
  if (leftOut > 0) yield notAnalysed(`${leftOut} kinds of workloads are one too many for it`);
}

/** Silence about them would read as if no rule of theirs were idle. */
function notAnalysed(why: string): Hit {
  return {
    place: { name: "mesh" },
    severity: "info",
    title: `not all policies were searched for idle rules (BW0601 to BW0604): ${why}`,
    why: "That nothing is told of their rules says nothing.",
    fix: "Split policies with very many paths, hosts or addresses by workload.",
  };
}

/** @param isAlone whether it is the only one of its policy: of two that cover each other one has to stay. */
function hitOf({ policy, rule, action, by, witness }: IdleRule, isAlone: boolean): Hit {
  const verb = action === "ALLOW" ? "allows" : "denies";
  const [one] = by;
  const others = one === undefined ? "other rules do together" : `${ruleText(one)} does`;
  return {
    resource: policy,
    path: ["spec", "rules", rule],
    edits:
      isAlone && by.some((other) => other.policy === resourceName(policy))
        ? [{ edit: "delete", resource: policy, path: ["spec", "rules", rule] }]
        : [],
    title: `\`rules[${rule}]\` ${verb} nothing but what ${others}`,
    ...(witness === undefined ? {} : { witness }),
  };
}
