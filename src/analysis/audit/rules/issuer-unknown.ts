import type { AuditContext } from "../audit-context.ts";
import { enforcedRules } from "../facts/enforced-rules.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const issuerUnknown: AuditRule = {
  id: "BW0610",
  title: "A token's issuer that no RequestAuthentication trusts",
  severity: "medium",
  attacks: ["M5"],
  what:
    "Values of `requestPrincipals` and `request.auth.principal` (`issuer/subject`) whose issuer none of the RequestAuthentications of the same workloads has, while they have others: " +
    "tokens of that issuer are refused with 401, so no request has such a principal. The value is split at its last slash, so that `https://login.*` asks for an issuer `https:/`, which nobody is.",
  why: "A DENY by such a principal keeps nobody out, an ALLOW lets nobody in. Mostly a slash or `https://` too many or too few: issuers are compared letter by letter.",
  fix: "Write the issuer as RequestAuthentication has it, then a slash and the subject; or trust it there.",
  claims: ["users-authenticated"],
  check: unknown,
};

function* unknown(audit: AuditContext): Iterable<Hit> {
  for (const { policy, action, index, spec, classes } of audit.fact(enforcedRules)) {
    if (action === "CUSTOM") continue;
    const lists = [
      ...(spec.from ?? []).map(({ source }, at) => ({
        values: source?.requestPrincipals ?? [],
        path: ["from", at, "source", "requestPrincipals"] as const,
      })),
      ...(spec.when ?? []).map(({ key, values = [] }, at) => ({
        values: key === "request.auth.principal" ? values : [],
        path: ["when", at, "values"] as const,
      })),
    ].filter(({ values }) => values.length > 0);
    if (lists.length === 0) continue;
    const issuers = issuersOf(classes);
    if (issuers.length === 0) continue;
    for (const { values, path } of lists)
      for (const [at, value] of values.entries())
        if (!issuers.some((issuer) => canBeOf(value, issuer)))
          yield {
            resource: policy,
            path: ["spec", "rules", index, ...path, at],
            title: `no token that is taken has the principal \`${value}\`: trusted ${issuers.length === 1 ? "is" : "are"} ${issuers.map((issuer) => `\`${issuer}\``).join(", ")}`,
            severity: action === "ALLOW" ? "medium" : "high",
          };
  }
}

/** Empty where any issuer's tokens are taken somewhere. */
function issuersOf(classes: readonly ServerClass[]): readonly string[] {
  const servers = classes.filter((server) => !server.isAmbient);
  const issuers = new Set(
    servers.flatMap(({ inbound }) => inbound.jwt?.rules.map(({ issuer }) => issuer) ?? []),
  );
  return issuers.has("") ? [] : [...issuers];
}

/** As rules read it: split at the last slash, so that `https://login.*` asks for the issuer `https:/`. */
function canBeOf(value: string, own: string): boolean {
  const slash = value.lastIndexOf("/");
  const issuer = slash < 0 ? value : value.slice(0, slash);
  if (value.startsWith("*")) return slash < 0 || own.endsWith(issuer.slice(1));
  return slash < 0 && value.endsWith("*") ? own.startsWith(value.slice(0, -1)) : issuer === own;
}
