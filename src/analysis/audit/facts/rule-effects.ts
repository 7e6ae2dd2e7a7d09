/**
 * What each rule of an enforced AuthorizationPolicy changes, over all requests: computed by decision diagrams wherever a request made of the rule's own
 * values does not show at once that the rule decides something that no other does.
 */
import { type Authorization, isDryRun } from "../../../policy/authorization.ts";
import { type CompiledRule, ruleMatches } from "../../../policy/authorization-rule.ts";
import type { AuthorizationSpec } from "../../../policy/authorization-spec.ts";
import { chainOf, type InboundPolicy, refuseTransport } from "../../../policy/inbound.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { RankedRule, RuleSet } from "../../../policy/rule-set.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { type Diagram, NO, OR } from "../../space/diagram.ts";
import { connectionOf, requestOf } from "../../space/request-space.ts";
import { ServerSpace } from "../../space/server-space.ts";
import type { AuditContext } from "../audit-context.ts";
import { probesOf } from "./probe-requests.ts";
import { classesByPolicy, type ServerClass } from "./server-classes.ts";
import { witnesses } from "./witness-requests.ts";

/**
 * `dead`: no request matches it. `unreached`: none that gets as far as authorization does. `denied`: an ALLOW, all of which some DENY refuses.
 * `covered`: other rules of its action match all of it that counts. In this order: the first that is so.
 */
export type IdleReason = "dead" | "unreached" | "denied" | "covered";

/** A rule that may be taken away, together with all others that are told, without a change. */
export interface IdleRule {
  readonly policy: Resource;
  /** Index in the policy's rules. */
  readonly rule: number;
  readonly action: "ALLOW" | "DENY";
  readonly reason: IdleReason;
  /** Rules that do alone what it does; empty where it takes several together. */
  readonly by: readonly RuleName[];
  /** A request that it matches, and what is decided of it. Absent for what no request matches. */
  readonly witness?: AccessRequest;
  /** `namespace/name` of a workload where this was found; it is so at all that the policy selects. */
  readonly workload: string;
}

export interface RuleName {
  /** `AuthorizationPolicy ns/name` */
  readonly policy: string;
  readonly rule: number;
}

/** Idle at every workload, as far as all of them could be analysed. Waypoints and ztunnels are not. */
export function idleRules(audit: AuditContext): readonly IdleRule[] {
  const found = new Map<string, IdleRule | null>();
  const analyses = new Map<ServerClass, readonly IdleRule[] | null>();
  const analysisOf = (one: ServerClass): readonly IdleRule[] | null => {
    const known = analyses.get(one) ?? analyse(audit, one);
    analyses.set(one, known);
    return known;
  };
  for (const [policy, classes] of audit.fact(classesByPolicy)) {
    if (policy.kind !== "AuthorizationPolicy" || isDryRun(policy)) continue;
    const { action = "ALLOW", rules = [] } = policy.spec as AuthorizationSpec;
    if (action !== "ALLOW" && action !== "DENY") continue;
    const name = resourceName(policy);
    for (const rule of rules.keys()) {
      const key = `${name} ${rule}`;
      if (classes.some((one) => isBusy(audit, one, name, rule))) found.set(key, null);
      else found.set(key, worst(classes.map((one) => findIn(analysisOf(one), policy, rule))));
    }
  }
  return [...found.values()].filter((one) => one !== null);
}

/** Null as soon as one class needs the rule. */
function worst(found: readonly (IdleRule | null)[]): IdleRule | null {
  let last: IdleRule | null = null;
  for (const one of found) {
    if (one === null) return null;
    if (last === null || ORDER.indexOf(one.reason) > ORDER.indexOf(last.reason)) last = one;
  }
  return last;
}

const ORDER: readonly IdleReason[] = ["dead", "unreached", "denied", "covered"];

function findIn(analysis: readonly IdleRule[] | null, policy: Resource, rule: number): IdleRule | null {
  return analysis?.find((one) => one.policy === policy && one.rule === rule) ?? null;
}

/** Whether a request of the rule's own values shows that it decides something there; ztunnels are not asked. */
function isBusy({ mesh }: AuditContext, one: ServerClass, policy: string, index: number): boolean {
  if (one.isAmbient) return true;
  const { inbound } = one;
  for (const action of ["deny", "allow"] as const) {
    const rules = inbound.http[action]?.rules ?? [];
    const own = rules.find(({ rule }) => rule.index === index && rule.policy === policy)?.rule;
    if (own === undefined) continue;
    const settings = {
      trustDomain: mesh.config.trustDomain,
      port: usualPort(inbound),
      policyNamespace: policy.slice(policy.indexOf(" ") + 1).split("/")[0] ?? "",
    };
    for (const sample of probesOf(own, settings)) {
      const connection = connectionOf(sample);
      const request = requestOf(sample, inbound.pathNormalization);
      if (request === null || !ruleMatches(own, connection, request)) continue;
      const matches = ({ rule }: RankedRule): boolean =>
        rule !== own && ruleMatches(rule, connection, request);
      if (rules.some(matches)) continue;
      if (action === "allow" && inbound.http.deny?.rules.some(matches) === true) continue;
      if (inbound.gateway !== null) return true;
      const chain = chainOf(inbound, connection);
      if (chain.protocol === "http" && refuseTransport(inbound, connection, chain) === null) return true;
    }
  }
  return false;
}

function usualPort({ ports }: InboundPolicy): number {
  return [...ports].find(([, protocol]) => protocol === "http")?.[0] ?? [...ports.keys()][0] ?? 8080;
}

/** Null where it is too much to say. */
function analyse(audit: AuditContext, one: ServerClass): readonly IdleRule[] | null {
  if (one.isAmbient) return null;
  try {
    const { inbound } = one;
    // Authorizers and tokens that are required play no part: a rule is idle with them as without.
    const policy: InboundPolicy = {
      ...inbound,
      jwt: inbound.jwt && {
        ...inbound.jwt,
        rules: inbound.jwt.rules.map((rule) => ({ ...rule, required: false })),
      },
      http: withoutCustom(inbound.http),
      tcp: withoutCustom(inbound.tcp),
    };
    return new ClassAnalysis(audit, one, policy).idle();
  } catch (error) {
    if (error instanceof AnalysisLimit) return null;
    throw error;
  }
}

function withoutCustom(authorization: Authorization): Authorization {
  return { ...authorization, custom: null, broken: null };
}

/** One rule on both kinds of chain. */
interface Pair {
  readonly policy: string;
  readonly index: number;
  readonly http: RankedRule | undefined;
  readonly tcp: RankedRule | undefined;
}

interface Sets {
  readonly deny: readonly Pair[] | null;
  readonly allow: readonly Pair[] | null;
}

class ClassAnalysis {
  readonly #audit: AuditContext;
  readonly #class: ServerClass;
  readonly #policy: InboundPolicy;
  readonly #space: ServerSpace;
  readonly #deny: readonly Pair[] | null;
  readonly #allow: readonly Pair[] | null;

  constructor(audit: AuditContext, own: ServerClass, policy: InboundPolicy) {
    this.#audit = audit;
    this.#class = own;
    this.#policy = policy;
    this.#space = new ServerSpace([policy]);
    this.#deny = pairsOf(policy, "deny");
    this.#allow = pairsOf(policy, "allow");
  }

  idle(): readonly IdleRule[] {
    const idle: IdleRule[] = [];
    const policies = new Map<string, Resource>(
      this.#class.authorization.map((policy) => [resourceName(policy), policy]),
    );
    for (const action of ["DENY", "ALLOW"] as const) {
      let left = (action === "DENY" ? this.#deny : this.#allow) ?? [];
      // From the end, and each against what is left: all that are told can go together.
      for (const pair of left.toReversed()) {
        const others = left.filter((other) => other !== pair);
        const reason = action === "DENY" ? this.#denyIdle(pair, others) : this.#allowIdle(pair, others);
        const policy = policies.get(pair.policy);
        if (reason === null || policy === undefined) continue;
        if (reason !== "dead" || this.#matching([pair]) === NO) left = others;
        idle.push(this.#told(policy, pair, action, reason, others));
      }
    }
    return idle;
  }

  #allowIdle(pair: Pair, others: readonly Pair[]): IdleReason | null {
    if (this.#matching([pair]) === NO) return "dead";
    if (this.#through({ deny: null, allow: [pair] }) === NO) return "unreached";
    if (this.#through({ deny: this.#deny, allow: [pair] }) === NO) return "denied";
    const without = this.#through({ deny: this.#deny, allow: others });
    return this.#through({ deny: this.#deny, allow: [...others, pair] }) === without ? "covered" : null;
  }

  #denyIdle(pair: Pair, others: readonly Pair[]): IdleReason | null {
    if (this.#isDead(pair)) return "dead";
    if (this.#through({ deny: [pair], allow: null }) === this.#through({ deny: null, allow: null }))
      return "unreached";
    const without = this.#through({ deny: others, allow: null });
    return this.#through({ deny: [...others, pair], allow: null }) === without ? "covered" : null;
  }

  /** On TCP a DENY loses what it says of HTTP and may refuse all: that is not what it was written for. */
  #isDead({ http, tcp, ...names }: Pair): boolean {
    if (this.#matching([{ ...names, http, tcp }]) === NO) return true;
    const isLost = http !== undefined && tcp !== undefined && conditions(tcp) < conditions(http);
    return isLost && this.#matching([{ ...names, http, tcp: undefined }]) === NO;
  }

  /** At gateways, whose listeners are not analysed, of all requests that there are. */
  #through({ deny, allow }: Sets): Diagram {
    const { diagrams, requests } = this.#space;
    if (this.#policy.gateway !== null) {
      const allowed = allow === null ? requests : this.#matching(allow);
      return diagrams.minus(allowed, this.#matching(deny ?? []));
    }
    return this.#space.outcomes({
      ...this.#policy,
      http: { ...this.#policy.http, deny: setOf(deny, "http"), allow: setOf(allow, "http") },
      tcp: { ...this.#policy.tcp, deny: setOf(deny, "tcp"), allow: setOf(allow, "tcp") },
    });
  }

  #matching(pairs: readonly Pair[]): Diagram {
    const { diagrams } = this.#space;
    const sets = pairs.map(({ http, tcp }) =>
      this.#space.matching({
        http: http === undefined ? [] : [http.rule],
        tcp: tcp === undefined ? [] : [tcp.rule],
        trustDomains: this.#policy.trustDomains,
      }),
    );
    return diagrams.all(OR, sets, NO);
  }

  #told(
    policy: Resource,
    pair: Pair,
    action: "ALLOW" | "DENY",
    reason: IdleReason,
    others: readonly Pair[],
  ): IdleRule {
    const { diagrams } = this.#space;
    const before = reason === "denied" ? (this.#deny ?? []) : reason === "covered" ? others : [];
    const counts = this.#counting(pair, action, reason);
    const by = before
      .filter((other) => diagrams.includes(this.#matching([other]), counts))
      .map(({ policy: name, index }) => ({ policy: name, rule: index }));
    const shown = reason === "dead" || reason === "unreached" ? NO : counts;
    const witness =
      this.#policy.gateway === null
        ? this.#audit.fact(witnesses).of(this.#space, shown, this.#class.workload.key)
        : undefined;
    return {
      policy,
      rule: pair.index,
      action,
      reason,
      by,
      workload: this.#class.workload.key,
      ...(witness === undefined ? {} : { witness }),
    };
  }

  /** What of the rule others have to take over. */
  #counting(pair: Pair, action: "ALLOW" | "DENY", reason: IdleReason): Diagram {
    const { diagrams } = this.#space;
    const alone =
      action === "ALLOW"
        ? this.#through({ deny: reason === "denied" ? null : this.#deny, allow: [pair] })
        : diagrams.minus(
            this.#through({ deny: null, allow: null }),
            this.#through({ deny: [pair], allow: null }),
          );
    return diagrams.and(alone, this.#matching([pair]));
  }
}

function conditions({ rule }: RankedRule): number {
  return [...rule.sources, ...rule.operations].flat().length;
}

function setOf(pairs: readonly Pair[] | null, chain: "http" | "tcp"): RuleSet | null {
  if (pairs === null) return null;
  return { rules: pairs.flatMap((pair) => pair[chain] ?? []) };
}

/** In the order of the policies' age, then of their rules. Null where no policy has this action. */
function pairsOf({ http, tcp }: InboundPolicy, action: "deny" | "allow"): readonly Pair[] | null {
  const [onHttp, onTcp] = [http[action], tcp[action]];
  if (onHttp === null && onTcp === null) return null;
  const pairs = new Map<string, { http?: RankedRule; tcp?: RankedRule; rule: CompiledRule }>();
  for (const [chain, set] of [
    ["http", onHttp],
    ["tcp", onTcp],
  ] as const)
    for (const ranked of set?.rules ?? []) {
      const key = `${ranked.rule.policy} ${ranked.rule.index}`;
      pairs.set(key, { rule: ranked.rule, ...pairs.get(key), [chain]: ranked });
    }
  return [...pairs.values()].map(({ rule, http: onHttpChain, tcp: onTcpChain }) => ({
    policy: rule.policy,
    index: rule.index,
    http: onHttpChain,
    tcp: onTcpChain,
  }));
}

/** As messages name a rule: counted from 0, as `can` counts. */
export function ruleText({ policy, rule }: RuleName): string {
  return `\`rules[${rule}]\` of ${policy}`;
}
