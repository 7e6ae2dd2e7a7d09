/** Every rule of AuthorizationPolicies that decide (not in dry run), with the servers at which it does. */
import { isDryRun } from "../../../policy/authorization.ts";
import type { CompiledRule } from "../../../policy/authorization-rule.ts";
import type { AuthorizationAction, RuleSpec } from "../../../policy/authorization-spec.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { SampleRequest } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { probesOf } from "./probe-requests.ts";
import { classesByPolicy, type ServerClass } from "./server-classes.ts";
import { actionOf, rulesOf } from "./token-demands.ts";

export interface EnforcedRule {
  readonly policy: Resource;
  readonly action: AuthorizationAction;
  readonly index: number;
  readonly spec: RuleSpec;
  /** Never empty. */
  readonly classes: readonly ServerClass[];
}

export function enforcedRules(audit: AuditContext): readonly EnforcedRule[] {
  const byPolicy = audit.fact(classesByPolicy);
  return audit.mesh.authorizationPolicies.flatMap((policy) => {
    const classes = byPolicy.get(policy) ?? [];
    if (classes.length === 0 || isDryRun(policy)) return [];
    const action = actionOf(policy.spec);
    return rulesOf(policy.spec).map((spec, index) => ({ policy, action, index, spec, classes }));
  });
}

/** The rule as the server's proxy has it for HTTP; undefined where it was dropped. */
export function compiledIn(
  { inbound }: ServerClass,
  { policy, index, action }: EnforcedRule,
): CompiledRule | undefined {
  const { deny, allow, custom } = inbound.http;
  const rules = { ALLOW: allow, DENY: deny, CUSTOM: custom?.set, AUDIT: undefined }[action]?.rules ?? [];
  const name = resourceName(policy);
  return rules.find(({ rule }) => rule.index === index && rule.policy === name)?.rule;
}

/** Requests made of the rule's own values, for a port that the server declares. */
export function* probesIn(
  audit: AuditContext,
  server: ServerClass,
  own: EnforcedRule,
): Iterable<SampleRequest> {
  const rule = compiledIn(server, own);
  if (rule === undefined) return;
  yield* probesOf(rule, {
    trustDomain: audit.mesh.config.trustDomain,
    port: httpPortOf(server),
    policyNamespace: own.policy.namespace,
    issuer: server.inbound.jwt?.rules[0]?.issuer,
  });
}

/** A declared one that speaks HTTP, else a declared one, else a usual one. */
export function httpPortOf({ inbound, workload }: ServerClass): number {
  const declared = [...inbound.ports];
  const http =
    declared.find(([, protocol]) => protocol === "http") ??
    declared.find(([, protocol]) => protocol !== "tcp");
  return http?.[0] ?? declared[0]?.[0] ?? workload.ports[0]?.port ?? 8080;
}
