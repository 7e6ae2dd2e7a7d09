/** The dimensions that a set of rules is worth being indexed by, and the keys that each rule has in them. */
import type { Clause, CompiledRule } from "../authorization-rule.ts";
import { type ConditionKeys, type Dimension, SUBJECT } from "./dimension.ts";
import { KeyDictionary, type KeyLookup } from "./key-dictionary.ts";
import type { TreeDimension } from "./search-tree.ts";

/** Headers and claims each are a dimension of their own: policies could name any number. */
const MOST_DIMENSIONS = 16;

type RuleKeys = readonly (readonly number[] | null)[];

export interface IndexDimensions {
  readonly dimensions: readonly TreeDimension[];
  readonly lookups: readonly KeyLookup[];
  /** By dimension: how many keys its lookup may write. */
  readonly rooms: readonly number[];
  /** The subject's dimension where all of its keys are exact; -1 otherwise. */
  readonly exactSubject: number;
  /** By dimension, the keys of one of `rules`. */
  keysOf(rank: number): RuleKeys;
}

/** Keys of one rule in one dimension, by clause. */
type Alternatives = readonly ConditionKeys[];

export function indexDimensions(rules: readonly CompiledRule[]): IndexDimensions {
  const alternatives = rules.map(alternativesOf);
  const dictionaries = mostKeyed(alternatives).map((dimension) => new KeyDictionary(dimension));
  const keys = alternatives.map((own) =>
    dictionaries.map((dictionary) => numbersOf(dictionary, own.get(dictionary.dimension.id))),
  );
  return {
    dimensions: dictionaries.map(({ dimension }) => ({
      cost: COSTS[dimension.id] ?? DEFAULT_COST,
      mayNotTell: dimension.kind === "text" && dimension.tells !== undefined,
    })),
    lookups: dictionaries.map((dictionary) => dictionary.lookup()),
    rooms: dictionaries.map(({ room }) => room),
    exactSubject: dictionaries.findIndex(({ dimension, isExact }) => dimension === SUBJECT && isExact),
    keysOf: (rank) => keys[rank] ?? [],
  };
}

/**
 * What looking up the keys of a dimension costs, in rules that could be tested instead. The name in a certificate has been
 * hashed before; a path comes fresh with each request.
 */
const COSTS: Readonly<Record<string, number>> = {
  subject: 0,
  port: 0,
  account: 1,
  namespace: 1,
  method: 2,
  sni: 2,
  host: 3,
  path: 4,
};
const DEFAULT_COST = 8;

/** By dimension: of each clause of one side of the rule, the keys that its matches have. Absent where one has none. */
function alternativesOf(rule: CompiledRule): ReadonlyMap<string, Alternatives> {
  const found = new Map<string, Alternatives>();
  for (const clauses of [rule.sources, rule.operations]) {
    const [first = []] = clauses;
    for (const { keys } of first) {
      if (keys === null) continue;
      const { id } = keys.dimension;
      const all = clauses.map((clause) => keysIn(clause, id));
      const complete = all.filter((alternative) => alternative !== undefined);
      if (complete.length === clauses.length) found.set(id, complete);
    }
  }
  return found;
}

function keysIn(clause: Clause, id: string): ConditionKeys | undefined {
  for (const { keys } of clause) {
    if (keys !== null && keys.dimension.id === id && isBounded(keys)) return keys;
  }
  return undefined;
}

function isBounded(keys: ConditionKeys): boolean {
  return !("patterns" in keys) || !keys.patterns.any;
}

function mostKeyed(rules: readonly ReadonlyMap<string, Alternatives>[]): Dimension[] {
  const uses = new Map<string, { readonly dimension: Dimension; count: number }>();
  for (const alternatives of rules) {
    for (const [id, [first]] of alternatives) {
      const use = uses.get(id);
      if (use !== undefined) use.count++;
      else if (first !== undefined) uses.set(id, { dimension: first.dimension, count: 1 });
    }
  }
  return [...uses.values()]
    .sort((a, b) => b.count - a.count)
    .slice(0, MOST_DIMENSIONS)
    .map(({ dimension }) => dimension);
}

function numbersOf(
  dictionary: KeyDictionary,
  alternatives: Alternatives | undefined,
): readonly number[] | null {
  if (alternatives === undefined) return null;
  return [...new Set(alternatives.flatMap((keys) => dictionary.idsOf(keys)))];
}
