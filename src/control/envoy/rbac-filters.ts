/**
 * AuthorizationPolicies as Envoy's RBAC filters, for HTTP and for TCP chains: AUDIT, then DENY, then ALLOW, each one filter.
 * What only observes (AUDIT, dry-run) never blocks: Envoy logs it, or evaluates it as shadow rules. CUSTOM is not here.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/rbac/v3/rbac.proto
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { AuthorizationSpec } from "../../policy/authorization-spec.ts";
import type { Resource } from "../../resources/resource.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { rbacPolicy } from "./rbac-policy.ts";
import { policiesFor } from "./workload-policies.ts";

type Kind = "http" | "network";

/** Names in the metadata that HTTP filters leave of their decision: `<prefix>enforced_effective_policy_id`. */
export const RULES_STAT_PREFIX = { ALLOW: "bulwark_allow_", DENY: "bulwark_deny_", LOG: "bulwark_audit_" };
/** Names in the metadata of what would have been decided: `<prefix>shadow_effective_policy_id`. */
export const SHADOW_STAT_PREFIX = { ALLOW: "istio_dry_run_allow_", DENY: "istio_dry_run_deny_", LOG: "" };

type RbacAction = keyof typeof RULES_STAT_PREFIX;

const STAGES: readonly (readonly ["AUDIT" | "DENY" | "ALLOW", RbacAction])[] = [
  ["AUDIT", "LOG"],
  ["DENY", "DENY"],
  ["ALLOW", "ALLOW"],
];

/**
 * No filter for an action of which no policy holds: without an ALLOW policy, what is not denied is allowed.
 * @param told whether it is to be logged which rule allowed. On TCP Envoy tells that of shadow rules only, so a filter that
 *   decides nothing evaluates them once more.
 */
export function rbacFilters(mesh: Mesh, workload: Workload, kind: Kind, told: boolean): EnvoyObject[] {
  const policies = policiesFor(mesh, workload, mesh.authorizationPolicies);
  return STAGES.flatMap(([action, rbacAction]) => {
    const chosen = policies.filter((policy) => (specOf(policy).action ?? "ALLOW") === action);
    if (chosen.length === 0) return [];
    const teller = told && kind === "network" && action === "ALLOW" ? [tellingFilter(mesh, chosen)] : [];
    return [...teller, rbacFilter(mesh, chosen, rbacAction, kind)];
  });
}

function tellingFilter(mesh: Mesh, policies: readonly Resource[]): EnvoyObject {
  const enforced = policies.filter((policy) => !isDryRun(policy));
  return extension("envoy.filters.network.rbac", "extensions.filters.network.rbac.v3.RBAC", {
    stat_prefix: "tcp.",
    shadow_rules: rules(mesh, enforced, "ALLOW", "network"),
    shadow_rules_stat_prefix: RULES_STAT_PREFIX.ALLOW,
  });
}

function rbacFilter(mesh: Mesh, policies: readonly Resource[], action: RbacAction, kind: Kind): EnvoyObject {
  const enforced = policies.filter((policy) => !isDryRun(policy));
  const shadow = policies.filter(isDryRun);
  return extension(`envoy.filters.${kind}.rbac`, `extensions.filters.${kind}.rbac.v3.RBAC`, {
    ...(kind === "network" ? { stat_prefix: "tcp." } : {}),
    ...(enforced.length === 0
      ? {}
      : {
          rules: rules(mesh, enforced, action, kind),
          ...(kind === "http" ? { rules_stat_prefix: RULES_STAT_PREFIX[action] } : {}),
        }),
    ...(shadow.length === 0
      ? {}
      : {
          shadow_rules: rules(mesh, shadow, action, kind),
          shadow_rules_stat_prefix: SHADOW_STAT_PREFIX[action],
        }),
  });
}

/** A policy without rules matches nothing, and is there all the same: an ALLOW that allows nobody. */
const NEVER: EnvoyObject = {
  permissions: [{ not_rule: { any: true } }],
  principals: [{ not_id: { any: true } }],
};

function rules(mesh: Mesh, policies: readonly Resource[], action: RbacAction, kind: Kind): EnvoyObject {
  const { trustDomain, trustDomainAliases } = mesh.config;
  const named = new Map<string, EnvoyObject>();
  for (const policy of policies) {
    const { namespace, name } = policy;
    const context = {
      policyNamespace: namespace,
      trustDomains: [trustDomain, ...trustDomainAliases],
      allow: action === "ALLOW",
      http: kind === "http",
    };
    const written = specOf(policy).rules ?? [];
    if (written.length === 0) named.set(ruleName(namespace, name, 0), NEVER);
    for (const [index, rule] of written.entries()) {
      const made = rbacPolicy(rule, context);
      if (made !== null) named.set(ruleName(namespace, name, index), made);
    }
  }
  return { action, policies: Object.fromEntries(named) };
}

function ruleName(namespace: string, name: string, index: number): string {
  return `ns[${namespace}]-policy[${name}]-rule[${index}]`;
}

function specOf(policy: Resource): AuthorizationSpec {
  return (policy.spec ?? {}) as AuthorizationSpec;
}

const YES: readonly string[] = ["1", "t", "T", "true", "TRUE", "True"];

function isDryRun(policy: Resource): boolean {
  return YES.includes(policy.annotations["istio.io/dry-run"] ?? "");
}
