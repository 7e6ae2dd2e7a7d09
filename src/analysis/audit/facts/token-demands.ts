/** What policies ask of tokens. */
import type { AuthorizationSpec, RuleSpec } from "../../../policy/authorization-spec.ts";

/** Whether something in the rule can only hold of a request with a token. */
export function asksForToken({ from = [], when = [] }: RuleSpec): boolean {
  return (
    from.some(({ source }) => (source?.requestPrincipals?.length ?? 0) > 0) ||
    when.some(({ key, values = [] }) => isTokenKey(key) && values.length > 0)
  );
}

/** Whether the rule looks at tokens at all, negated conditions among them. */
export function looksAtTokens(rule: RuleSpec): boolean {
  const { from = [], when = [] } = rule;
  return (
    asksForToken(rule) ||
    from.some(({ source }) => (source?.notRequestPrincipals?.length ?? 0) > 0) ||
    when.some(({ key }) => isTokenKey(key))
  );
}

/** Whether the rule of a DENY may match a request that has no token: a negation holds of what is not there. */
export function refusesLackOfToken(rule: RuleSpec): boolean {
  const { from = [], when = [] } = rule;
  return (
    from.some(({ source }) => (source?.notRequestPrincipals?.length ?? 0) > 0) ||
    when.some(({ key, notValues = [] }) => isTokenKey(key) && notValues.length > 0)
  );
}

export function isTokenKey(key: string): boolean {
  return key.startsWith("request.auth.");
}

/** `ALLOW` where none is written. */
export function rulesOf(spec: unknown): readonly RuleSpec[] {
  return (spec as AuthorizationSpec | undefined)?.rules ?? [];
}

export function actionOf(spec: unknown): NonNullable<AuthorizationSpec["action"]> {
  return (spec as AuthorizationSpec | undefined)?.action ?? "ALLOW";
}
