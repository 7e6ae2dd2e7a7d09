/**
 * Splits rules by one dimension after the other, each time by the one that leaves the fewest to be tested, until few are left.
 * A rule stands under each of its keys, and where it has none in the dimension, in the rest that is searched besides.
 */

/** Most rules that are tested one by one rather than split: their signatures are passed over in about a nanosecond each. */
const LEAF_RULES = 12;
/** Most copies of a rule, on average: what bounds memory where rules list many keys in several dimensions. */
const MOST_COPIES = 64;
/** A split must leave at most this part of the rules to be tested. */
const WORTHWHILE = 0.75;

/** A rule as the tree sees it. */
export interface TreeRule {
  readonly rank: number;
  /** Where its program begins. */
  readonly program: number;
  readonly signature: number;
  /** By dimension: the keys of which a request must have one; null where it can match without. */
  readonly keys: readonly (readonly number[] | null)[];
}

/** By dimension: how many keys it has, what looking them up costs in rules tested, and whether it may fail to tell. */
export interface TreeDimension {
  readonly size: number;
  readonly cost: number;
  readonly mayNotTell: boolean;
}

/** [LEAF, lowest rank, count, (program, signature)…] */
export const LEAF = -1;
/** [dimension, lowest rank, rest, all, children]: children is where those of the keys stand side by side, or SPARSE. */
export const REST = 2;
export const ALL = 3;
export const CHILDREN = 4;
export const SPLIT_SIZE = 5;
export const SPARSE = -1;
export const NO_NODE = -1;
/** A transition of the hash table: [node, key, child, unused]; node is NO_NODE in empty ones. */
export const TRANSITION_SIZE = 4;

export interface SearchTree {
  readonly nodes: Int32Array;
  readonly root: number;
  /** Open addressing, for nodes that few of their dimension's keys lead on from. */
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
  readonly #transitions: [node: number, key: number, child: number][] = [];

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
    const transitions = new Int32Array(room * TRANSITION_SIZE);
    for (let slot = 0; slot < room; slot++) transitions[slot * TRANSITION_SIZE] = NO_NODE;
    for (const transition of this.#transitions) {
      let slot = transitionSlot(transition[0], transition[1]) & (room - 1);
      while (transitions[slot * TRANSITION_SIZE] !== NO_NODE) slot = (slot + 1) & (room - 1);
      transitions.set(transition, slot * TRANSITION_SIZE);
    }
    return { nodes: Int32Array.from(this.#nodes), transitions, transitionMask: room - 1 };
  }

  #leaf(rules: readonly TreeRule[]): number {
    const node = this.#nodes.length;
    this.#nodes.push(LEAF, rules[0]?.rank ?? 0, rules.length);
    for (const { program, signature } of rules) this.#nodes.push(program, signature);
    return node;
  }

  #split(rules: readonly TreeRule[], split: Split, unused: ReadonlySet<number>, copies: number): number {
    const nodes = this.#nodes;
    const node = nodes.length;
    const { size, mayNotTell } = this.#dimensions[split.dimension] ?? NO_DIMENSION;
    const dense = split.groups.size * 4 >= size;
    const children = dense ? node + SPLIT_SIZE : SPARSE;
    nodes.push(split.dimension, rules[0]?.rank ?? 0, NO_NODE, NO_NODE, children);
    if (dense) for (let key = 0; key < size; key++) nodes.push(NO_NODE);
    const others = new Set(unused);
    others.delete(split.dimension);
    const left = Math.max(1, copies / split.copies);
    for (const [key, group] of split.groups) {
      const child = this.add(group, others, left);
      if (dense) nodes[children + key] = child;
      else this.#transitions.push([node, key, child]);
    }
    if (split.rest.length > 0) nodes[node + REST] = this.add(split.rest, others, copies);
    if (mayNotTell) nodes[node + ALL] = this.#leaf(rules);
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

const NO_DIMENSION: TreeDimension = { size: 0, cost: 0, mayNotTell: false };

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
  return { dimension, groups, rest, copies: Math.max(1, (entries + rest.length) / rules.length) };
}
