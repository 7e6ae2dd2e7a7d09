import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules } from "../facts/enforced-rules.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const principalPattern: AuditRule = {
  id: "BW0624",
  title: "A pattern of names that others can give themselves",
  severity: "medium",
  attacks: ["C1"],
  what:
    "Patterns in ALLOW policies that end, or begin, in the middle of what a name is made of: `principals` or `source.principal` such as `*/sa/admin` (the account of that name in every namespace), `cluster.local/ns/prod*` " +
    "(also `prod-test`), `…/sa/web*` (also `web-debug`), and `namespaces` with a star beside letters. Stars that stand for a whole namespace or account (`…/ns/prod/*`, `…/sa/*`) are not told. With `namespaces` beside a principal's suffix, the namespace is known and nothing is told.",
  why: "Who may make a namespace or a service account anywhere in the cluster, which many may, chooses a name that fits, and is let in.",
  fix: "Write the names out, or let the star stand for a whole part: `cluster.local/ns/prod/*`.",
  claims: ["least-access"],
  check: patterns,
};

function* patterns(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    if (rule.action !== "ALLOW") continue;
    for (const { value, path, isNamespace } of valuesOf(rule)) {
      const also = isNamespace ? namespaceAlso(value) : principalAlso(value);
      if (also !== undefined)
        yield {
          resource: rule.policy,
          path: ["spec", "rules", rule.index, ...path],
          title: `\`${value}\` also means ${also}`,
        };
    }
  }
}

interface Value {
  readonly value: string;
  readonly path: FieldPath;
  readonly isNamespace: boolean;
}

function* valuesOf({ spec: { from = [], when = [] } }: EnforcedRule): Iterable<Value> {
  for (const [entry, { source = {} }] of from.entries()) {
    const isBound = (source.namespaces?.length ?? 0) > 0 || (source.serviceAccounts?.length ?? 0) > 0;
    for (const [at, value] of (source.principals ?? []).entries())
      if (!isBound) yield { value, path: ["from", entry, "source", "principals", at], isNamespace: false };
    for (const [at, value] of (source.namespaces ?? []).entries())
      yield { value, path: ["from", entry, "source", "namespaces", at], isNamespace: true };
  }
  for (const [entry, { key, values = [] }] of when.entries())
    if (key === "source.principal" || key === "source.namespace")
      for (const [at, value] of values.entries())
        yield { value, path: ["when", entry, "values", at], isNamespace: key === "source.namespace" };
}

function namespaceAlso(value: string): string | undefined {
  return value !== "*" && value.includes("*") ? `the namespace \`${value.replaceAll("*", "x")}\`` : undefined;
}

function principalAlso(value: string): string | undefined {
  if (value === "*") return undefined;
  if (value.startsWith("*")) {
    const account = /\/sa\/([^/*]+)$/.exec(value)?.[1];
    const namespaced = /\/ns\/[^/]+\/sa\/[^/]+$/.test(value);
    return namespaced ? undefined : `the account \`${account ?? value.slice(1)}\` of any namespace`;
  }
  if (!value.endsWith("*") || /\/(ns\/|sa\/|ns|sa)?\*$/.test(value)) return undefined;
  const name = /\/(ns|sa)\/([^/]+)\*$/.exec(value);
  if (name === null) return undefined;
  return name[1] === "ns" ? `the namespace \`${name[2]}-x\`` : `the account \`${name[2]}-x\``;
}
