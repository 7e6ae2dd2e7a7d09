/**
 * Splits rules by one dimension after the other, each time by the one that leaves the fewest to be tested, until few are left.
 * A rule stands under each of its keys, and where it has none in the dimension, in the rest that is searched besides.
 */
import { bitsOf, type LeafRule, pushLeaf } from "./leaf.ts";

/** Most rules that are not split further: as many as one word of a leaf's rows passes over. */
const LEAF_RULES = 32;
/** Most copies of a rule, on average: what bounds memory where rules list many keys in several dimensions. */
const MOST_COPIES = 64;
/** A split must leave at most this part of the rules to be tested. */
const WORTHWHILE = 0.75;

/** A rule as the tree sees it. */
export interface TreeRule extends LeafRule {
  /** By dimension: the keys of which a request must have one; null where it can match without. */
  readonly keys: readonly (readonly number[] | null)[];
}

/** By dimension: what looking its keys up costs, in rules tested, and whether it may fail to tell. */
export interface TreeDimension {
  readonly cost: number;
  readonly mayNotTell: boolean;
}

/** [dimension, lowest rank, rest, all]; the children are in the table of transitions. */
export const REST = 2;
export const ALL = 3;
export const NO_NODE = -1;
/** A transition of the hash table: [node, key, child, classes of paths that lead on]; node is NO_NODE in empty ones. */
export const TRANSITION_SIZE = 4;

export interface SearchTree {
  readonly nodes: Int32Array;
  readonly root: number;
  /** Open addressing. */
  readonly transitions: Int32Array;
  /** Number of transitions that there is room for, less one: a power of two less one. */
  readonly transitionMask: number;
}

export function buildSearchTree(
  rules: readonly TreeRule[],
  dimensions: readonly TreeDimension[],
): SearchTree {
  const builder = new SearchTreeBuilder(dimensions);
  const unused = new Set(dimensions.keys());
  const root = builder.add(rules, unused, MOST_COPIES);
  return { root, ...builder.finish() };
}

/** Where a transition is looked for first. */
export function transitionSlot(node: number, key: number): number {
  const mixed = Math.imul(node, 0x9e3779b1) ^ Math.imul(key, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

interface Split {
  readonly dimension: number;
  readonly groups: ReadonlyMap<number, readonly TreeRule[]>;
  readonly rest: readonly TreeRule[];
  readonly copies: number;
}

class SearchTreeBuilder {
  readonly #dimensions: readonly TreeDimension[];
  readonly #nodes: number[] = [];
  readonly #transitions: [node: number, key: number, child: number, paths: number][] = [];

  constructor(dimensions: readonly TreeDimension[]) {
    this.#dimensions = dimensions;
  }

  /** @param rules by rank. */
  add(rules: readonly TreeRule[], unused: ReadonlySet<number>, copies: number): number {
    const split = rules.length <= LEAF_RULES ? undefined : this.#bestSplit(rules, unused, copies);
    return split === undefined ? this.#leaf(rules) : this.#split(rules, split, unused, copies);
  }

  finish(): Omit<SearchTree, "root"> {
    let room = 2;
    while (room < this.#transitions.length * 2) room *= 2;
    const transitions = new Int32Array(room * TRANSITION_SIZE).fill(NO_NODE);
    for (const transition of this.#transitions) {
      let slot = transitionSlot(transition[0], transition[1]) & (room - 1);
      while (transitions[slot * TRANSITION_SIZE] !== NO_NODE) slot = (slot + 1) & (room - 1);
      transitions.set(transition, slot * TRANSITION_SIZE);
    }
    return { nodes: Int32Array.from(this.#nodes), transitions, transitionMask: room - 1 };
  }

  #leaf(rules: readonly TreeRule[]): number {
    return pushLeaf(this.#nodes, rules);
  }

  #split(rules: readonly TreeRule[], split: Split, unused: ReadonlySet<number>, copies: number): number {
    const nodes = this.#nodes;
    const node = nodes.length;
    nodes.push(split.dimension, rules[0]?.rank ?? 0, NO_NODE, NO_NODE);
    const others = new Set(unused);
    others.delete(split.dimension);
    const left = Math.max(1, copies / split.copies);
    for (const [key, group] of split.groups) {
      const paths = group.reduce((bits, rule) => bits | bitsOf(rule.paths), 0);
      this.#transitions.push([node, key, this.add(group, others, left), paths]);
    }
    if (split.rest.length > 0) nodes[node + REST] = this.add(split.rest, others, copies);
    if (this.#dimensions[split.dimension]?.mayNotTell === true) nodes[node + ALL] = this.#leaf(rules);
    return node;
  }

  #bestSplit(rules: readonly TreeRule[], unused: ReadonlySet<number>, copies: number): Split | undefined {
    let best: number | undefined;
    let bestCost = rules.length * WORTHWHILE;
    for (const dimension of unused) {
      const cost = this.#costOf(rules, dimension, copies);
      if (cost < bestCost) {
        best = dimension;
        bestCost = cost;
      }
    }
    return best === undefined ? undefined : splitBy(rules, best);
  }

  /** Rules that a request with one of the keys, each as likely as it is frequent, is left with. */
  #costOf(rules: readonly TreeRule[], dimension: number, copies: number): number {
    const frequency = new Map<number, number>();
    let keyed = 0;
    let rest = 0;
    for (const { keys } of rules) {
      const own = keys[dimension] ?? null;
      if (own === null) rest++;
      else for (const key of own) frequency.set(key, (frequency.get(key) ?? 0) + 1);
      keyed += own?.length ?? 0;
    }
    if (keyed === 0 || keyed > copies * rules.length) return Number.POSITIVE_INFINITY;
    let squares = 0;
    for (const count of frequency.values()) squares += count * count;
    return rest + squares / keyed + (this.#dimensions[dimension]?.cost ?? 0);
  }
}

function splitBy(rules: readonly TreeRule[], dimension: number): Split {
  const groups = new Map<number, TreeRule[]>();
  const rest: TreeRule[] = [];
  let entries = 0;
  for (const rule of rules) {
    const own = rule.keys[dimension] ?? null;
    if (own === null) rest.push(rule);
    else {
      for (const key of own) {
        entries++;
        const group = groups.get(key);
        if (group === undefined) groups.set(key, [rule]);
        else group.push(rule);
      }
    }
  }
  return { dimension, groups, rest, copies: (entries + rest.length) / rules.length };
}
