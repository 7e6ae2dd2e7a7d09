/** What of the policies that are written for pods in ambient mode reaches their ztunnels. */

import { compileL4Rule, httpAttributes, type L4Rule } from "../../../policy/ambient/l4-rule.ts";
import { isDryRun } from "../../../policy/authorization.ts";
import type { AuthorizationAction, RuleSpec } from "../../../policy/authorization-spec.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type ServerClass, serverClasses } from "./server-classes.ts";
import { actionOf, rulesOf } from "./token-demands.ts";

export interface ZtunnelPolicy {
  readonly policy: Resource;
  readonly action: AuthorizationAction;
  /** The first class in ambient mode that it is for. */
  readonly server: ServerClass;
}

/** AuthorizationPolicies without targets, not in dry run, of at least one workload in ambient mode. */
export function ztunnelPolicies(audit: AuditContext): readonly ZtunnelPolicy[] {
  const found = new Map<Resource, ZtunnelPolicy>();
  for (const server of audit.fact(serverClasses)) {
    if (!server.isAmbient) continue;
    for (const policy of server.authorization)
      if (!found.has(policy) && !isDryRun(policy))
        found.set(policy, { policy, action: actionOf(policy.spec), server });
  }
  return [...found.values()];
}

export interface LostRule {
  readonly index: number;
  readonly spec: RuleSpec;
  /** HTTP attributes that ztunnel does not know. */
  readonly attributes: readonly string[];
  /** `dropped`: an ALLOW that is not there; `void`: a DENY that never matches; `wider`: one that matches more. */
  readonly effect: "dropped" | "void" | "wider";
}

/** Rules of an ALLOW or DENY that lose HTTP attributes at ztunnel. */
export function lostRules(
  { policy, action }: ZtunnelPolicy,
  trustDomains: readonly string[],
): readonly LostRule[] {
  if (action !== "ALLOW" && action !== "DENY") return [];
  const context = { semantics: "istio", policyNamespace: policy.namespace, trustDomains } as const;
  return rulesOf(policy.spec).flatMap((spec, index) => {
    const attributes = [...new Set(httpAttributes(spec))];
    if (attributes.length === 0) return [];
    const rule = compileL4Rule(spec, index, action, context);
    return [{ index, spec, attributes, effect: effectOf(rule) }];
  });
}

function effectOf(rule: L4Rule | null): LostRule["effect"] {
  if (rule === null) return "dropped";
  return rule.clauses.some((entries) => entries.every((entry) => entry.length === 0)) ? "void" : "wider";
}
