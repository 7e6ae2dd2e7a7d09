/** Which rules change nothing at the servers of a class: over all requests, by decision diagrams. */
import type { Authorization } from "../../../policy/authorization.ts";
import type { CompiledRule } from "../../../policy/authorization-rule.ts";
import type { InboundPolicy } from "../../../policy/inbound.ts";
import type { RankedRule, RuleSet } from "../../../policy/rule-set.ts";
import { type Resource, resourceName } from "../../../resources/resource.ts";
import { AnalysisLimit } from "../../space/analysis-limit.ts";
import { type Diagram, NO, OR } from "../../space/diagram.ts";
import { ServerSpace } from "../../space/server-space.ts";
import type { AuditContext } from "../audit-context.ts";
import type { IdleReason, IdleRule } from "./idle-rule.ts";
import type { ServerClass } from "./server-classes.ts";
import { witnesses } from "./witness-requests.ts";

/**
 * Null where it is too much to say.
 * @param gone rules that are taken away before, `AuthorizationPolicy ns/name INDEX`
 */
export function analyse(
  audit: AuditContext,
  one: ServerClass,
  gone: ReadonlySet<string>,
): readonly IdleRule[] | null {
  if (one.isAmbient) return null;
  try {
    const inbound = one.compiled;
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
    return new ClassAnalysis(audit, one, policy, gone).idle();
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

  constructor(audit: AuditContext, own: ServerClass, policy: InboundPolicy, gone: ReadonlySet<string>) {
    this.#audit = audit;
    this.#class = own;
    this.#policy = policy;
    this.#space = new ServerSpace([policy]);
    const isLeft = ({ policy: name, index }: Pair): boolean => !gone.has(`${name} ${index}`);
    this.#deny = pairsOf(policy, "deny")?.filter(isLeft) ?? null;
    this.#allow = pairsOf(policy, "allow")?.filter(isLeft) ?? null;
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
