/** Rules about who calls that a caller without a certificate gets round, each with the request that shows it. */

import type { SourceSpec } from "../../../policy/authorization-spec.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { compiledIn, type EnforcedRule, enforcedRules, probesIn } from "./enforced-rules.ts";
import { asksForIdentity, isIdentityKey, isNegativeOnly, openPorts } from "./plaintext-ports.ts";
import { accessRequestOf, isLetThrough, isMatched } from "./sample-requests.ts";

export interface IdentityGap {
  readonly rule: EnforcedRule;
  /** What of the policy names callers. */
  readonly path: FieldPath;
  readonly witness: AccessRequest;
}

/** ALLOW rules that only say who may not, and let in a request of nobody. */
export function exclusionsInClear(audit: AuditContext): readonly IdentityGap[] {
  return audit.fact(enforcedRules).flatMap((rule) => {
    if (rule.action !== "ALLOW") return [];
    const at = (rule.spec.from ?? []).findIndex(
      ({ source }) => source !== undefined && isNegativeOnly(source as SourceSpec),
    );
    const witness = at < 0 ? undefined : letInUnnamed(audit, rule);
    return witness === undefined ? [] : [{ rule, path: ["spec", "rules", rule.index, "from", at], witness }];
  });
}

/** DENY rules by name that whoever shows none passes. */
export function namesPassedInClear(audit: AuditContext): readonly IdentityGap[] {
  return audit.fact(enforcedRules).flatMap((rule) => {
    if (rule.action !== "DENY" || !isAboutNames(rule)) return [];
    const witness = passedUnnamed(audit, rule);
    return witness === undefined ? [] : [{ rule, path: ["spec", "rules", rule.index], witness }];
  });
}

function isAboutNames({ spec: { from = [], when = [] } }: EnforcedRule): boolean {
  return (
    from.some(({ source }) => source !== undefined && asksForIdentity(source)) ||
    when.some(({ key, values = [] }) => isIdentityKey(key) && values.length > 0)
  );
}

function letInUnnamed(audit: AuditContext, rule: EnforcedRule): AccessRequest | undefined {
  for (const server of rule.classes) {
    const compiled = compiledIn(server, rule);
    if (server.inbound.gateway !== null || compiled === undefined) continue;
    for (const sample of probesIn(audit, server, rule))
      for (const port of openPorts(server, sample.port)) {
        const clear = { ...sample, port, principal: null };
        if (isMatched(compiled, server, clear) && isLetThrough(server, clear))
          return accessRequestOf(clear, server);
      }
  }
  return undefined;
}

function passedUnnamed(audit: AuditContext, rule: EnforcedRule): AccessRequest | undefined {
  for (const server of rule.classes) {
    const compiled = compiledIn(server, rule);
    if (server.inbound.gateway !== null || compiled === undefined) continue;
    for (const sample of probesIn(audit, server, rule)) {
      if (!isMatched(compiled, server, sample)) continue;
      for (const port of openPorts(server, sample.port)) {
        const clear = { ...sample, port, principal: null };
        const named = { ...clear, principal: sample.principal };
        if (!isMatched(compiled, server, named) || isMatched(compiled, server, clear)) continue;
        if (isLetThrough(server, clear)) return accessRequestOf(clear, server);
      }
    }
  }
  return undefined;
}
