import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ALL_PATHS,
  LEAF,
  LEAF_PROGRAMS,
  LIST,
  LIST_END,
  LIST_HEAD,
} from "../../../src/policy/rule-index/leaf.ts";
import {
  ALL,
  buildSearchTree,
  NO_NODE,
  REST,
  type SearchTree,
  TRANSITION_SIZE,
  type TreeDimension,
  type TreeRule,
  transitionSlot,
} from "../../../src/policy/rule-index/search-tree.ts";

/** A rule whose program stands where its rank says. */
function rule(rank: number, keys: TreeRule["keys"], paths: readonly number[] | null = null): TreeRule {
  return { rank, program: rank, paths, subjects: null, keys };
}

function rules(count: number, keysOf: (index: number) => TreeRule["keys"]): TreeRule[] {
  return Array.from({ length: count }, (_, index) => rule(index, keysOf(index)));
}

const FREE: TreeDimension = { cost: 0, mayNotTell: false };

/** A node for people: the ranks of a leaf, or how it is split. */
type Shape = readonly number[] | Branch;
interface Branch {
  readonly by: number;
  readonly lowest: number;
  readonly children: Readonly<Record<string, Shape>>;
  readonly rest: Shape | null;
  readonly all: Shape | null;
}

function shapeAt(tree: SearchTree, at: number, count: number): Shape {
  const { nodes, transitions } = tree;
  const kind = nodes[at] ?? 0;
  if (kind === LIST) {
    const entries = [...nodes.subarray(at + LIST_HEAD, nodes[at + LIST_END])];
    return entries.filter((_, index) => index % 2 === 1);
  }
  if (kind === LEAF) {
    const start = nodes[at + LEAF_PROGRAMS] ?? 0;
    const end = Math.min(start + count, nodes.length);
    return ascending([...nodes.subarray(start, end)]);
  }
  const children: Record<string, Shape> = {};
  for (let entry = 0; entry < transitions.length; entry += TRANSITION_SIZE) {
    if (transitions[entry] !== at) continue;
    const key = transitions[entry + 1] ?? 0;
    assert.equal(followed(tree, at, key), entry, "a lookup finds the transition");
    children[key] = shapeAt(tree, transitions[entry + 2] ?? 0, count);
  }
  const child = (place: number) => {
    const node = nodes[at + place] ?? NO_NODE;
    return node === NO_NODE ? null : shapeAt(tree, node, count);
  };
  return { by: kind, lowest: nodes[at + 1] ?? 0, children, rest: child(REST), all: child(ALL) };
}

/** Programs are ranks: a leaf's end where they no longer ascend. */
function ascending(programs: readonly number[]): number[] {
  const end = programs.findIndex((program, index) => index > 0 && program <= (programs[index - 1] ?? 0));
  return programs.slice(0, end < 0 ? programs.length : end);
}

function followed({ transitions, transitionMask }: SearchTree, node: number, key: number): number {
  for (let slot = transitionSlot(node, key) & transitionMask; ; slot = (slot + 1) & transitionMask) {
    const at = slot * TRANSITION_SIZE;
    if (transitions[at] === NO_NODE) return -1;
    if (transitions[at] === node && transitions[at + 1] === key) return at;
  }
}

function shapeOf(rules: readonly TreeRule[], dimensions: readonly TreeDimension[]): Shape {
  const tree = buildSearchTree(rules, dimensions);
  return shapeAt(tree, tree.root, rules.length);
}

const isLeaf = (shape: Shape | undefined): boolean => Array.isArray(shape);
const ranks = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function branch(shape: Shape | undefined): Branch {
  assert.ok(shape !== undefined && "by" in shape, "the node is split");
  return shape;
}

test("a tree of up to 32 rules is one leaf; of 33, which a key tells apart, it is split", () => {
  const split = (count: number) =>
    shapeOf(
      rules(count, (index) => [[index]]),
      [FREE],
    );
  assert.deepEqual(split(32), ranks(32));
  assert.deepEqual(split(33), {
    by: 0,
    lowest: 0,
    children: Object.fromEntries(ranks(33).map((rank) => [rank, [rank]])),
    rest: null,
    all: null,
  });
});

test("rules that no dimension keys are one leaf, however many", () => {
  assert.deepEqual(
    shapeOf(
      rules(70, () => [null, null]),
      [FREE, FREE],
    ),
    ranks(70),
  );
  assert.deepEqual(
    shapeOf(
      rules(70, () => []),
      [],
    ),
    ranks(70),
  );
});

test("a split must leave less than three quarters of the rules, the cost of looking the key up counted", () => {
  // Two groups of 20: 20 rules are left to be tested, of 40.
  const halves = rules(40, (index) => [[index % 2]]);
  assert.ok(!isLeaf(shapeOf(halves, [{ ...FREE, cost: 9 }])));
  assert.ok(isLeaf(shapeOf(halves, [{ ...FREE, cost: 10 }])));
});

test("a split is judged by the groups that requests are in, weighed by how frequent they are, and by the rest", () => {
  // Groups of 25 and 5, and 10 without a key: (625 + 25) / 30 + 10 = 31.67 of 40.
  const uneven = (index: number) => [index < 25 ? [1] : index < 30 ? [2] : null];
  assert.ok(isLeaf(shapeOf(rules(40, uneven), [FREE])));
  // Groups of 20 and 10, and 10 without: 500 / 30 + 10 = 26.67.
  const shape = branch(
    shapeOf(
      rules(40, (index) => [index < 20 ? [1] : index < 30 ? [2] : null]),
      [FREE],
    ),
  );
  assert.deepEqual(shape.children, { 1: ranks(20), 2: ranks(30).slice(20) });
  assert.deepEqual(shape.rest, ranks(40).slice(30));
});

test("the dimension that leaves the fewest is chosen; of equal ones, the first", () => {
  const keyed = rules(40, (index) => [[index % 4], [index % 8], [index % 8]]);
  assert.equal(branch(shapeOf(keyed, [FREE, FREE, FREE])).by, 1);
  assert.equal(branch(shapeOf(keyed, [FREE, { ...FREE, cost: 1 }, FREE])).by, 2);
  assert.equal(branch(shapeOf(keyed, [FREE, { ...FREE, cost: 6 }, { ...FREE, cost: 5 }])).by, 0);
});

test("a rule stands under each of its keys, and a dimension splits once on the way down", () => {
  const shape = branch(
    shapeOf(
      rules(40, (index) => [[100, index]]),
      [FREE],
    ),
  );
  assert.deepEqual(shape.children[100], ranks(40));
  assert.deepEqual(shape.children[7], [7]);
});

test("a group that is still too large is split by another dimension, and so is the rest", () => {
  const keyed = rules(240, (index) => [index < 160 ? [index % 4] : null, [(index >> 2) % 2]]);
  const shape = branch(shapeOf(keyed, [FREE, { ...FREE, cost: 5 }]));
  const child = branch(shape.children[3]);
  const rest = branch(shape.rest ?? []);
  assert.deepEqual([shape.by, child.by, rest.by], [0, 1, 1]);
  assert.deepEqual([child.lowest, rest.lowest], [3, 160]);
  const own = ranks(160).filter((rank) => rank % 4 === 3);
  assert.deepEqual(child.children, {
    0: own.filter((rank) => (rank >> 2) % 2 === 0),
    1: own.filter((rank) => (rank >> 2) % 2 === 1),
  });
  assert.equal(child.rest, null);
});

test("a node knows the lowest rank under it", () => {
  const later = Array.from({ length: 40 }, (_, index) => rule(index + 5, [[index]]));
  assert.equal(branch(shapeOf(later, [FREE])).lowest, 5);
});

test("a dimension that may fail to tell has all rules besides, in a leaf", () => {
  const shape = branch(
    shapeOf(
      rules(40, (index) => [[index]]),
      [{ cost: 0, mayNotTell: true }],
    ),
  );
  assert.deepEqual(shape.all, ranks(40));
});

test("a rule is copied 64 times at most, on average", () => {
  const many = (keys: number) =>
    rules(40, (index) => [Array.from({ length: keys }, (_, key) => index * keys + key)]);
  assert.ok(!isLeaf(shapeOf(many(64), [FREE])));
  assert.ok(isLeaf(shapeOf(many(65), [FREE])));
});

test("copies multiply: where a first split made 32 of each rule, a second may make two, not three", () => {
  const pairs = [
    [0, 1],
    [1, 2],
    [0, 2],
  ];
  const triples = [
    [0, 1, 2],
    [1, 2, 3],
    [2, 3, 4],
    [3, 4, 0],
    [4, 0, 1],
  ];
  const half = (index: number) => Array.from({ length: 32 }, (_, key) => (index % 2) * 32 + key);
  const under = (second: readonly number[][]) => {
    const keyed = rules(80, (index) => [half(index), second[(index >> 1) % second.length] ?? []]);
    const shape = branch(shapeOf(keyed, [FREE, FREE]));
    assert.deepEqual([shape.by, Object.keys(shape.children).length], [0, 64]);
    return shape.children[5];
  };
  assert.ok(!isLeaf(under(pairs)));
  assert.ok(isLeaf(under(triples)));
});

test("where a split has used all copies up, one that makes none is still made", () => {
  const all = Array.from({ length: 60 }, (_, key) => key);
  const keyed = rules(200, (index) => [all.map((key) => (index % 3) * 60 + key), [(index >> 1) % 2]]);
  const shape = branch(shapeOf(keyed, [FREE, FREE]));
  assert.deepEqual([shape.by, branch(shape.children[5]).by], [0, 1]);
});

test("a transition carries the classes of the paths of all rules that it leads to", () => {
  const own = Array.from({ length: 40 }, (_, index) =>
    rule(index, [[index % 20]], index % 20 === 3 ? null : [index % 4 === 0 ? 1 : 2]),
  );
  const tree = buildSearchTree([...own, rule(40, [[5]], [31])], [FREE]);
  const paths = (key: number) => tree.transitions[followed(tree, tree.root, key) + 3];
  assert.deepEqual([0, 1, 3, 5].map(paths), [2, 4, ALL_PATHS, 4 | (1 << 31)]);
});

test("the table of transitions is at most half full, and a power of two", () => {
  const mask = (count: number) =>
    buildSearchTree(
      rules(count * 2, (index) => [[index % count]]),
      [FREE],
    ).transitionMask;
  assert.deepEqual([32, 33, 64, 65].map(mask), [63, 127, 127, 255]);
  const empty = buildSearchTree(
    rules(3, () => []),
    [],
  );
  assert.deepEqual([empty.transitionMask, empty.transitions.length], [1, 2 * TRANSITION_SIZE]);
  assert.equal(empty.transitions[0], NO_NODE);
  assert.equal(empty.transitions[TRANSITION_SIZE], NO_NODE);
  assert.ok(NO_NODE < 0, "no place in the array of nodes");
});

test("transitionSlot() spreads neighbouring nodes and keys over the table", () => {
  const slots = new Set<number>();
  for (let node = 0; node < 16; node++)
    for (let key = 0; key < 16; key++) slots.add(transitionSlot(node, key) & 0x3ff);
  assert.ok(slots.size > 160, `${slots.size} slots of 256`);
  assert.deepEqual(
    [transitionSlot(0, 0), transitionSlot(1, 0), transitionSlot(0, 1), transitionSlot(7, -3)],
    [0, -1640610337, -2048212548, 1035503641],
  );
});
