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

/** ALLOW rules beside a DENY of which requests are made. */
const BESIDE = 4;

/**
 * Requests made of the rule's own values, for a port that the server declares. Of a DENY rule also as those send them whom an ALLOW lets in: at
 * most servers nobody else gets as far.
 */
export function* probesIn(
  audit: AuditContext,
  server: ServerClass,
  own: EnforcedRule,
): Iterable<SampleRequest> {
  const rule = compiledIn(server, own);
  if (rule === undefined) return;
  const { http, jwt } = server.inbound;
  const settings = {
    trustDomain: audit.mesh.config.trustDomain,
    port: httpPortOf(server),
    policyNamespace: own.policy.namespace,
    issuer: jwt?.rules[0]?.issuer,
  };
  const probes = [...probesOf(rule, settings)];
  yield* probes;
  if (own.action !== "DENY") return;
  for (const beside of (http.allow?.rules ?? []).slice(0, BESIDE)) {
    const policyNamespace = namespaceOf(beside.rule.policy);
    for (const allowed of probesOf(beside.rule, { ...settings, policyNamespace }))
      for (const probe of probes) yield* together(probe, allowed);
  }
}

/** `Kind namespace/name` */
function namespaceOf(policy: string): string {
  return policy.slice(policy.indexOf(" ") + 1).split("/")[0] ?? "";
}

/** The one's caller with the other's request, and each way round: which of them is asked about is the rule's to say. */
function* together(denied: SampleRequest, allowed: SampleRequest): Iterable<SampleRequest> {
  const { principal, sourceIp, remoteIp, claims } = allowed;
  const headers = [...allowed.headers, ...denied.headers];
  yield { ...denied, principal, sourceIp, remoteIp, claims, headers };
  yield { ...allowed, host: denied.host, path: denied.path, headers };
  yield { ...allowed, host: denied.host, headers };
  yield { ...allowed, principal: denied.principal, headers };
}

/** A declared one that speaks HTTP, else a declared one, else a usual one. */
export function httpPortOf({ inbound, workload }: ServerClass): number {
  const declared = [...inbound.ports];
  const http =
    declared.find(([, protocol]) => protocol === "http") ??
    declared.find(([, protocol]) => protocol !== "tcp");
  return http?.[0] ?? declared[0]?.[0] ?? workload.ports[0]?.port ?? 8080;
}
