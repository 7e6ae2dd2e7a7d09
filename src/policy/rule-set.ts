/** The rules of all policies of one action for one kind of chain, in Envoy's order. */
import { type CompiledRule, ruleMatches } from "./authorization-rule.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import type { Verdict } from "./verdict.ts";

/** A rule with what follows when it matches. */
export interface RankedRule {
  readonly rule: CompiledRule;
  /** Place in the order: of several rules that match, the one of the lowest rank is the one that decided. */
  readonly rank: number;
  readonly verdict: Verdict;
}

/**
 * Finds the first rule that matches. Rules that can match only certain certificates are kept by those; the search merges
 * the caller's own with those that anybody may match, so thousands of rules about others cost nothing.
 */
export interface RuleSet {
  readonly rules: readonly RankedRule[];
  readonly bySubject: ReadonlyMap<string, readonly RankedRule[]>;
  readonly general: readonly RankedRule[];
}

const NO_RULES: readonly RankedRule[] = Object.freeze([]);

/** Envoy keeps its policies in a map: by name, byte by byte, so `rule[10]` comes before `rule[2]`. */
function byKey(a: CompiledRule, b: CompiledRule): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

export function buildRuleSet(
  rules: readonly CompiledRule[],
  verdictOf: (rule: CompiledRule) => Verdict,
): RuleSet {
  const ranked = rules
    .toSorted(byKey)
    .map((rule, rank): RankedRule => ({ rule, rank, verdict: verdictOf(rule) }));
  const bySubject = new Map<string, RankedRule[]>();
  const general: RankedRule[] = [];
  for (const entry of ranked) {
    const subjects = exactSubjects(entry.rule);
    if (subjects === null) general.push(entry);
    else for (const subject of subjects) getOrInsert(bySubject, subject).push(entry);
  }
  return { rules: ranked, bySubject, general };
}

/** Allocates nothing. */
export function firstMatch(
  set: RuleSet,
  connection: Connection,
  request: HttpRequest | null,
): RankedRule | null {
  const own = (connection.subject === null ? undefined : set.bySubject.get(connection.subject)) ?? NO_RULES;
  const { general } = set;
  let ownAt = 0;
  let generalAt = 0;
  for (;;) {
    const a = own[ownAt];
    const b = general[generalAt];
    if (a === undefined && b === undefined) return null;
    const next = b === undefined || (a !== undefined && a.rank < b.rank) ? a : b;
    if (next === undefined) return null;
    if (next === a) ownAt++;
    else generalAt++;
    if (ruleMatches(next.rule, connection, request)) return next;
  }
}

/** The certificates' names outside of which the rule cannot match; null where there is no such list. */
function exactSubjects(rule: CompiledRule): ReadonlySet<string> | null {
  const subjects = new Set<string>();
  for (const clause of rule.sources) {
    const exact = clause.find((condition) => condition.exactSubjects !== null)?.exactSubjects;
    if (exact === undefined || exact === null) return null;
    for (const subject of exact) subjects.add(subject);
  }
  return subjects;
}

function getOrInsert(map: Map<string, RankedRule[]>, key: string): RankedRule[] {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made: RankedRule[] = [];
  map.set(key, made);
  return made;
}
