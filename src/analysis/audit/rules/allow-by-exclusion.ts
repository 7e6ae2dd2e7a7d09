import type { AuditContext } from "../audit-context.ts";
import { exclusionsInClear } from "../facts/identity-gaps.ts";
import { isWithin, operationFieldsOf, type RuleField } from "../facts/rule-fields.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const allowByExclusion: AuditRule = {
  id: "BW0401",
  title: "An ALLOW that lists what is not let in",
  severity: "low",
  same: { snowcat: "Allow with Negative Match" },
  attacks: ["M6", "M1"],
  what: "Rules of ALLOW policies with a field that excludes (`notPaths`, `notMethods`, `notPrincipals` …). One finding a policy, at the first of them; `info` where the same clause has the positive field, too (`paths: [/api/*]` with `notPaths: [/api/admin]`), since what is let in is bounded then. What excludes callers of whom one without an identity really gets in is told by BW0616 alone.",
  why: "Everything that nobody thought of is let in: the path spelled otherwise, the method that was added last week, the caller whose name is new, or who has none.",
  fix: "List what may be asked for, and by whom; put exceptions into a DENY policy of their own.",
  claims: ["default-deny"],
  check: exclusions,
};

function* exclusions(audit: AuditContext): Iterable<Hit> {
  const gaps = Map.groupBy(audit.fact(exclusionsInClear), ({ rule }) => rule.policy);
  for (const resource of audit.of("security.istio.io", "AuthorizationPolicy")) {
    const { action } = resource.spec as { readonly action?: string };
    if (action !== undefined && action !== "ALLOW") continue;
    const told = gaps.get(resource) ?? [];
    const excluding = operationFieldsOf(resource.spec).filter(
      ({ isNegative, path }) => isNegative && !told.some((gap) => isWithin(path, gap.path)),
    );
    const [first] = excluding.toSorted((a, b) => Number(a.hasPositive) - Number(b.hasPositive));
    if (first === undefined) continue;
    yield {
      resource,
      path: first.path,
      title: `\`${first.name}\` lets in everything else than ${listed(first)}`,
      ...(first.hasPositive
        ? {
            severity: "info" as const,
            title: `\`${first.name}\` excepts ${listed(first)} from what is let in`,
          }
        : {}),
    };
  }
}

function listed({ values }: RuleField): string {
  const shown = values.slice(0, 3).map((value) => `\`${value}\``);
  return `${shown.join(", ")}${values.length > shown.length ? ", …" : ""}`;
}
