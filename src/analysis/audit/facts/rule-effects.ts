/**
 * What each rule of an enforced AuthorizationPolicy changes, over all requests: computed by decision diagrams wherever a request made of the rule's own
 * values does not show at once that the rule decides something that no other does.
 */
import { type CompiledRule, ruleMatches } from "../../../policy/authorization-rule.ts";
import { chainOf, type InboundPolicy, refuseTransport } from "../../../policy/inbound.ts";
import type { RankedRule } from "../../../policy/rule-set.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import { connectionOf, requestOf, type SampleRequest } from "../../space/request-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { analyse } from "./class-analysis.ts";
import { type EnforcedRule, enforcedRules } from "./enforced-rules.ts";
import type { IdleReason, IdleRule } from "./idle-rule.ts";
import { probesOf } from "./probe-requests.ts";
import { coversRule } from "./rule-cover.ts";
import { accessRequestOf } from "./sample-requests.ts";
import { type ServerClass, serverClasses } from "./server-classes.ts";
import { looksAtTokens, rulesOf } from "./token-demands.ts";

/** Of servers with different policies: a millisecond or two each. In their order, so that the same files give the same findings. */
const MOST_ANALYSES = 4000;

/** What the rules about idle rules have in common, in the words of their pages. */
export const IDLE_BOUND =
  "Computed over all requests, not sampled, in a bounded space: where a workload's policies are too complex for it, or more than 4,000 workloads each have such rules in a combination of their own, idle rules are told only where the rules' fields show it, and BW0601 says of how many workloads that is. Policies in dry run, at waypoints and at ztunnels are not looked at.";

export interface IdleAnalysis {
  readonly rules: readonly IdleRule[];
  /** One workload of each class whose diagrams grew too large. */
  readonly tooComplex: readonly string[];
  /** Classes that were one too many. */
  readonly leftOut: number;
}

/** Idle at every workload, as far as all of them could be analysed. Waypoints and ztunnels are not. */
export function idleRules(audit: AuditContext): readonly IdleRule[] {
  return audit.fact(idleAnalysis).rules;
}

export function idleAnalysis(audit: AuditContext): IdleAnalysis {
  const busy = busyRules(audit);
  const rules = audit
    .fact(enforcedRules)
    .filter(
      ({ policy, action, index }) => isDeciding(action) && !busy.has(keyOf(resourceName(policy), index)),
    );
  const byClass = new Map<ServerClass, EnforcedRule[]>();
  for (const rule of rules)
    for (const server of rule.classes) byClass.set(server, [...(byClass.get(server) ?? []), rule]);
  const analyses = new Map<ServerClass, readonly IdleRule[]>();
  const tooComplex: string[] = [];
  let asked = 0;
  const analysed = (server: ServerClass, gone: ReadonlySet<string>): readonly IdleRule[] => {
    asked++;
    if (asked > MOST_ANALYSES) return [];
    const found = analyse(audit, server, gone);
    if (found === null && !server.isAmbient) tooComplex.push(server.workload.key);
    return found ?? [];
  };
  const idleAt = (server: ServerClass): readonly IdleRule[] => {
    const known = analyses.get(server);
    if (known !== undefined) return known;
    const made = idleInClass(audit, server, byClass.get(server) ?? [], analysed);
    analyses.set(server, made);
    return made;
  };
  const idle = rules.map((own) => worst(own, idleAt)).filter((one) => one !== null);
  return { rules: idle, tooComplex, leftOut: Math.max(0, asked - MOST_ANALYSES) };
}

function isDeciding(action: EnforcedRule["action"]): boolean {
  return action === "ALLOW" || action === "DENY";
}

/** INVARIANT: all of them can go together: what is computed is so without those that were seen to be covered. */
function idleInClass(
  audit: AuditContext,
  server: ServerClass,
  rules: readonly EnforcedRule[],
  analysed: (server: ServerClass, gone: ReadonlySet<string>) => readonly IdleRule[],
): readonly IdleRule[] {
  const seen = rules.map((rule) => seenCovered(audit, server, rule)).filter((one) => one !== null);
  if (seen.length === rules.length) return seen;
  const gone = new Set(seen.map(({ policy, rule }) => keyOf(resourceName(policy), rule)));
  return [...seen, ...analysed(server, gone)];
}

function keyOf(policy: string, rule: number): string {
  return `${policy} ${rule}`;
}

/** Those that decide something at some workload, as a request shows; and all that some ztunnel has. */
function busyRules(audit: AuditContext): ReadonlySet<string> {
  const busy = new Set<string>();
  for (const server of audit.fact(serverClasses)) {
    const open = server.authorization.flatMap((policy) => {
      const name = resourceName(policy);
      return rulesOf(policy.spec).flatMap((_, rule) =>
        busy.has(keyOf(name, rule)) ? [] : [{ policy: name, rule }],
      );
    });
    if (open.length === 0) continue;
    const inbound = server.isAmbient ? undefined : server.compiled;
    for (const { policy, rule } of open)
      if (inbound === undefined || isBusy(audit, inbound, policy, rule)) busy.add(keyOf(policy, rule));
  }
  return busy;
}

/** Null as soon as one class needs the rule. */
function worst(
  { classes, policy, index, spec }: EnforcedRule,
  idleAt: (one: ServerClass) => readonly IdleRule[],
): IdleRule | null {
  let last: IdleRule | null = null;
  for (const server of classes) {
    const one: IdleRule | null = findIn(idleAt(server), policy, index);
    if (one === null) return null;
    // That no request meets it is so wherever it stands; what tokens there are, is not.
    if (one.reason === "dead" && !looksAtTokens(spec)) return one;
    if (last === null || ORDER.indexOf(one.reason) > ORDER.indexOf(last.reason)) last = one;
  }
  return last;
}

const ORDER: readonly IdleReason[] = ["dead", "unreached", "denied", "covered"];

function findIn(analysis: readonly IdleRule[], policy: Resource, rule: number): IdleRule | null {
  return analysis.find((one) => one.policy === policy && one.rule === rule) ?? null;
}

/** Whether a request of the rule's own values shows that it decides something there. */
function isBusy(audit: AuditContext, inbound: InboundPolicy, policy: string, index: number): boolean {
  for (const action of ["deny", "allow"] as const) {
    const rules = inbound.http[action]?.rules ?? [];
    const own = ruleIn(rules, policy, index);
    if (own === undefined) continue;
    for (const probe of countingProbes(audit, inbound, action, own))
      if (!rules.some(({ rule }) => rule !== own && isMatchedBy(rule, inbound, probe))) return true;
  }
  return false;
}

function ruleIn(rules: readonly RankedRule[], policy: string, index: number): CompiledRule | undefined {
  return rules.find(({ rule }) => rule.index === index && rule.policy === policy)?.rule;
}

/** Requests that the rule matches, that get as far, and that no DENY refuses before an ALLOW. */
function* countingProbes(
  { mesh }: AuditContext,
  inbound: InboundPolicy,
  action: "deny" | "allow",
  own: CompiledRule,
): Iterable<SampleRequest> {
  const settings = {
    trustDomain: mesh.config.trustDomain,
    port: usualPort(inbound),
    policyNamespace: own.policy.slice(own.policy.indexOf(" ") + 1).split("/")[0] ?? "",
  };
  for (const probe of probesOf(own, settings)) {
    if (!isMatchedBy(own, inbound, probe)) continue;
    const denies = action === "allow" ? (inbound.http.deny?.rules ?? []) : [];
    if (denies.some(({ rule }) => isMatchedBy(rule, inbound, probe))) continue;
    const connection = connectionOf(probe);
    const chain = inbound.gateway === null ? chainOf(inbound, connection) : undefined;
    const arrives = chain?.protocol === "http" && refuseTransport(inbound, connection, chain) === null;
    if (chain === undefined || arrives) yield probe;
  }
}

function isMatchedBy(rule: CompiledRule, inbound: InboundPolicy, sample: SampleRequest): boolean {
  const request = requestOf(sample, inbound.pathNormalization);
  return request !== null && ruleMatches(rule, connectionOf(sample), request);
}

/** That another rule asks for less needs no computing; which of two equal ones goes is as in {@link ClassAnalysis}. */
function seenCovered(
  audit: AuditContext,
  server: ServerClass,
  { policy, index, action }: EnforcedRule,
): IdleRule | null {
  if (server.isAmbient) return null;
  const inbound = server.compiled;
  const key = action === "DENY" ? "deny" : "allow";
  const name = resourceName(policy);
  const [http, tcp] = [inbound.http[key]?.rules ?? [], inbound.tcp[key]?.rules ?? []];
  const [own, onTcp] = [ruleIn(http, name, index), ruleIn(tcp, name, index)];
  const [probe] = own === undefined ? [] : countingProbes(audit, inbound, key, own);
  if (own === undefined || probe === undefined) return null;
  const at = http.findIndex(({ rule }) => rule === own);
  const by = http.find(({ rule: other }, place) => {
    const otherOnTcp = ruleIn(tcp, other.policy, other.index);
    const covers =
      other !== own &&
      coversRule(other, own) &&
      (onTcp === undefined || (otherOnTcp !== undefined && coversRule(otherOnTcp, onTcp)));
    return covers && (place < at || !coversRule(own, other));
  })?.rule;
  if (by === undefined) return null;
  return {
    policy,
    rule: index,
    action: action === "DENY" ? "DENY" : "ALLOW",
    reason: "covered",
    by: [{ policy: by.policy, rule: by.index }],
    workload: server.workload.key,
    ...(inbound.gateway === null && isPlain(server) ? { witness: accessRequestOf(probe, server) } : {}),
  };
}

/** Whether a request can be written that says all that its policies ask for. */
function isPlain({ policyText, inbound }: ServerClass): boolean {
  return (
    !policyText.includes("destination.ip") &&
    inbound.http.custom === null &&
    inbound.jwt?.rules.some(({ required }) => required) !== true
  );
}

function usualPort({ ports }: InboundPolicy): number {
  return [...ports].find(([, protocol]) => protocol === "http")?.[0] ?? [...ports.keys()][0] ?? 8080;
}
