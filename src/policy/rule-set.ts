/** Rules of policies in Envoy's order, and the search for the first that matches. */
import type { CompiledRule } from "./authorization-rule.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import { NO_RANK, RuleIndex } from "./rule-index/rule-index.ts";
import type { Verdict } from "./verdict.ts";

/** A rule with what follows when it matches. */
export interface RankedRule {
  readonly rule: CompiledRule;
  readonly verdict: Verdict;
}

/** In their order: of several rules that match, the first is the one that decided. */
export interface RuleSet {
  readonly rules: readonly RankedRule[];
}

export interface IndexedRuleSet extends RuleSet {
  readonly index: RuleIndex;
  /** By rank. */
  readonly verdicts: readonly Verdict[];
}

/** Envoy keeps its policies in a map: by name, byte by byte, so `rule[10]` comes before `rule[2]`. */
function byKey(a: CompiledRule, b: CompiledRule): number {
  return a.key < b.key ? -1 : 1;
}

/** The rules of all policies of one action for one kind of chain. */
export function buildRuleSet(
  rules: readonly CompiledRule[],
  verdictOf: (rule: CompiledRule) => Verdict,
): RuleSet {
  return { rules: rules.toSorted(byKey).map((rule): RankedRule => ({ rule, verdict: verdictOf(rule) })) };
}

/** Makes one of sets that are to be searched one after the other. */
export function indexRuleSets(...sets: readonly (RuleSet | null)[]): IndexedRuleSet {
  const rules = sets.flatMap((set) => set?.rules ?? []);
  return {
    rules,
    index: new RuleIndex(rules.map(({ rule }) => rule)),
    verdicts: rules.map(({ verdict }) => verdict),
  };
}

/** Allocates nothing. */
export function firstMatch(
  set: IndexedRuleSet,
  connection: Connection,
  request: HttpRequest | null,
): RankedRule | null {
  const rank = set.index.first(connection, request);
  return rank === NO_RANK ? null : (set.rules[rank] ?? null);
}

/** The verdict of the first rule that matches; allocates nothing. */
export function firstVerdict(
  { index, verdicts }: IndexedRuleSet,
  connection: Connection,
  request: HttpRequest | null,
): Verdict | null {
  const rank = index.first(connection, request);
  return rank === NO_RANK ? null : (verdicts[rank] ?? null);
}
