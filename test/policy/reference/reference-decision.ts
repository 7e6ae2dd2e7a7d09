/** The order of checks, slowly: which chain, who, CUSTOM, token, DENY, ALLOW. */
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import { type Action, type Facts, referenceMatches } from "./reference-rules.ts";

export interface ReferencePolicy {
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly spec: AuthorizationSpec;
}

export interface ReferenceDecision {
  readonly allowed: boolean;
  readonly reason: string;
  readonly policy: string | null;
  readonly rule: number | null;
}

/** DENY and ALLOW over the policies that apply (all of those given). */
export function referenceAuthorization(
  policies: readonly ReferencePolicy[],
  facts: Omit<Facts, "policyNamespace">,
): ReferenceDecision {
  const enforced = policies.filter((policy) => !policy.dryRun);
  const denied = firstMatching(enforced, "DENY", facts);
  if (denied !== undefined) return { allowed: false, reason: "rbac", ...denied };
  if (!enforced.some((policy) => actionOf(policy) === "ALLOW"))
    return { allowed: true, reason: "ok", policy: null, rule: null };
  const allowed = firstMatching(enforced, "ALLOW", facts);
  if (allowed !== undefined) return { allowed: true, reason: "ok", ...allowed };
  return { allowed: false, reason: "rbac", policy: null, rule: null };
}

export type ReferenceCustom =
  | { readonly kind: "pass" }
  | { readonly kind: "deny"; readonly policy: string; readonly rule: number }
  | { readonly kind: "ask"; readonly provider: string; readonly policy: string; readonly rule: number };

/** CUSTOM, before any token is known. @param providers those that can be used, and what they speak. */
export function referenceCustom(
  policies: readonly ReferencePolicy[],
  facts: Omit<Facts, "policyNamespace">,
  providers: ReadonlyMap<string, "grpc" | "http">,
): ReferenceCustom {
  const custom = policies.filter((policy) => actionOf(policy) === "CUSTOM");
  const names = [...new Set(custom.map(providerOf))].sort();
  const match = (dryRun: boolean, name: string) =>
    firstMatching(
      custom.filter((policy) => policy.dryRun === dryRun && providerOf(policy) === name),
      "CUSTOM",
      facts,
    );
  const [only = ""] = names;
  if (names.length > 1 || !providers.has(only)) {
    const denied = names.map((name) => match(false, name)).find((found) => found !== undefined);
    return denied === undefined ? { kind: "pass" } : { kind: "deny", ...denied };
  }
  if (providers.get(only) === "http" && !facts.http) return { kind: "pass" };
  const tried = match(true, only);
  if (tried !== undefined) return { kind: "deny", ...tried };
  const asked = match(false, only);
  return asked === undefined ? { kind: "pass" } : { kind: "ask", provider: only, ...asked };
}

function providerOf({ spec }: ReferencePolicy): string {
  return spec.provider?.name ?? "";
}

function actionOf(policy: ReferencePolicy): Action {
  return policy.spec.action ?? "ALLOW";
}

/** Of the rules that match, the first by Envoy's name for it. */
function firstMatching(
  policies: readonly ReferencePolicy[],
  action: Action,
  facts: Omit<Facts, "policyNamespace">,
): { policy: string; rule: number } | undefined {
  const matching: { key: string; policy: string; rule: number }[] = [];
  for (const policy of policies) {
    if (actionOf(policy) !== action) continue;
    for (const [rule, spec] of (policy.spec.rules ?? []).entries()) {
      if (referenceMatches(spec, action, { ...facts, policyNamespace: policy.namespace }) !== true) continue;
      const name = `${policy.namespace}/${policy.name}`;
      const key = `ns[${policy.namespace}]-policy[${policy.name}]-rule[${rule}]`;
      matching.push({ key, policy: `AuthorizationPolicy ${name}`, rule });
    }
  }
  matching.sort((a, b) => (a.key < b.key ? -1 : 1));
  const [first] = matching;
  return first === undefined ? undefined : { policy: first.policy, rule: first.rule };
}
