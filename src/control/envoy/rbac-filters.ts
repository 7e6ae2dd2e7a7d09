/**
 * AuthorizationPolicies as Envoy's RBAC filters, for HTTP and for TCP chains: AUDIT, then DENY, then ALLOW, each one filter.
 * What only observes (AUDIT, dry-run) never blocks: Envoy logs it, or evaluates it as shadow rules. CUSTOM has filters of its own (ext-authz-filters.ts).
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/rbac/v3/rbac.proto
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { type EnvoyObject, extension } from "./envoy-object.ts";
import { isDryRun, rbacRules as rules, specOf } from "./rbac-rules.ts";
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
