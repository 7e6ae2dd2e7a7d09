/** What the tiers of network policy come to together, for one direction of one pod and one other side. */
import type { ConnectionAlgebra, ConnectionSet } from "./connection-set.ts";
import type { NetworkAction, NetworkTier } from "./network-policies.ts";

/** A rule whose peers match the other side. */
export interface MatchingRule {
  readonly tier: NetworkTier;
  readonly action: NetworkAction;
  readonly connections: ConnectionSet;
}

/**
 * @param rules in the order of their tiers, policies and lists.
 * @param isolated whether a NetworkPolicy selects the pod for this direction.
 */
export function allowedConnections(
  algebra: ConnectionAlgebra,
  rules: readonly MatchingRule[],
  isolated: boolean,
): ConnectionSet {
  const admin = firstMatch(algebra, rules, "admin", algebra.all);
  // What is passed skips the other admin rules, and goes where what none of them matches goes.
  const open = algebra.union(admin.passed, admin.left);
  if (isolated) {
    let allowed = algebra.none;
    for (const { tier, connections } of rules)
      if (tier === "policy") allowed = algebra.union(allowed, connections);
    return algebra.union(admin.allowed, algebra.intersect(allowed, open));
  }
  const baseline = firstMatch(algebra, rules, "baseline", open);
  return algebra.union(admin.allowed, algebra.union(baseline.allowed, baseline.left));
}

function firstMatch(
  algebra: ConnectionAlgebra,
  rules: readonly MatchingRule[],
  tier: NetworkTier,
  whole: ConnectionSet,
): { readonly allowed: ConnectionSet; readonly passed: ConnectionSet; readonly left: ConnectionSet } {
  let [allowed, passed, left] = [algebra.none, algebra.none, whole];
  for (const rule of rules) {
    if (rule.tier !== tier) continue;
    const taken = algebra.intersect(rule.connections, left);
    if (rule.action === "Allow") allowed = algebra.union(allowed, taken);
    if (rule.action === "Pass") passed = algebra.union(passed, taken);
    left = algebra.subtract(left, taken);
  }
  return { allowed, passed, left };
}
