/** The rules of AuthorizationPolicies as one RBAC (`config.rbac.v3.RBAC`), each under a name that says where it stands. */
import type { Mesh } from "../../model/mesh.ts";
import type { AuthorizationSpec } from "../../policy/authorization-spec.ts";
import type { Resource } from "../../resources/resource.ts";
import type { EnvoyObject } from "./envoy-object.ts";
import { rbacPolicy } from "./rbac-policy.ts";

/** A policy without rules matches nothing, and is there all the same: an ALLOW that allows nobody. */
const NEVER: EnvoyObject = {
  permissions: [{ not_rule: { any: true } }],
  principals: [{ not_id: { any: true } }],
};

/** @param nameOf from the usual name of a rule to the one that it gets. */
export function rbacRules(
  mesh: Mesh,
  policies: readonly Resource[],
  action: "ALLOW" | "DENY" | "LOG",
  kind: "http" | "network",
  nameOf: (name: string) => string = (name) => name,
): EnvoyObject {
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
    if (written.length === 0) named.set(nameOf(ruleName(namespace, name, 0)), NEVER);
    for (const [index, rule] of written.entries()) {
      const made = rbacPolicy(rule, context);
      if (made !== null) named.set(nameOf(ruleName(namespace, name, index)), made);
    }
  }
  return { action, policies: Object.fromEntries(named) };
}

function ruleName(namespace: string, name: string, index: number): string {
  return `ns[${namespace}]-policy[${name}]-rule[${index}]`;
}

export function specOf(policy: Resource): AuthorizationSpec {
  return (policy.spec ?? {}) as AuthorizationSpec;
}

const YES: readonly string[] = ["1", "t", "T", "true", "TRUE", "True"];

export function isDryRun(policy: Resource): boolean {
  return YES.includes(policy.annotations["istio.io/dry-run"] ?? "");
}
