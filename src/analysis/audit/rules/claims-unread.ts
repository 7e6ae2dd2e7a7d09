import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules } from "../facts/enforced-rules.ts";
import { isTokenKey } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const claimsUnread: AuditRule = {
  id: "BW0608",
  title: "A condition on tokens where nobody reads any",
  severity: "medium",
  attacks: ["M5"],
  what:
    "`requestPrincipals` and `when` on `request.auth.…` with values, in policies of workloads that no RequestAuthentication selects, or in CUSTOM policies, which come before tokens are read: " +
    "no request has a verified token there, so nothing matches. Waypoints and workloads in ambient mode are not looked at.",
  why: "A DENY or CUSTOM by claims does nothing: whom it was to keep out, or have asked about, passes. An ALLOW lets nobody in.",
  fix: "Add a RequestAuthentication with the issuer that selects the same workloads. In place of CUSTOM, give the authorizer the token itself (`includeRequestHeadersInCheck: [authorization]`).",
  claims: ["users-authenticated"],
  check: unread,
};

function* unread(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    const servers = rule.classes.filter((server) => !server.isAmbient);
    const reads = rule.action !== "CUSTOM" && servers.some(({ tokens }) => tokens.length > 0);
    if (servers.length === 0 || reads) continue;
    for (const { path, text } of demandsOf(rule))
      yield {
        resource: rule.policy,
        path: ["spec", "rules", rule.index, ...path],
        title:
          rule.action === "CUSTOM"
            ? `${text} never holds: CUSTOM comes before tokens are read`
            : `${text} never holds: no RequestAuthentication selects \`${servers[0]?.workload.key}\``,
        severity: rule.action === "ALLOW" ? "medium" : "high",
      };
  }
}

function* demandsOf({
  spec: { from = [], when = [] },
}: EnforcedRule): Iterable<{ readonly path: FieldPath; readonly text: string }> {
  for (const [at, { source }] of from.entries())
    if ((source?.requestPrincipals?.length ?? 0) > 0)
      yield { path: ["from", at, "source", "requestPrincipals"], text: "`requestPrincipals`" };
  for (const [at, { key, values = [] }] of when.entries())
    if (isTokenKey(key) && values.length > 0) yield { path: ["when", at, "key"], text: `\`${key}\`` };
}
