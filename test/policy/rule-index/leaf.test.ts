import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ALL_PATHS,
  bitsOf,
  CLASSES,
  classOf,
  LEAF,
  LEAF_ROWS,
  type LeafRule,
  LIST,
  NO_TEXT,
  pushLeaf,
} from "../../../src/policy/rule-index/leaf.ts";

function rule(rank: number, paths: readonly number[] | null, subjects: readonly number[] | null): LeafRule {
  return { rank, program: 1000 + rank, paths, subjects };
}

/** By class, the places in the leaf of the rules whose bits are in its row. */
function rowsOf(nodes: readonly number[], start: number, words: number): number[][] {
  return Array.from({ length: CLASSES }, (_, row) => {
    const bits = nodes.slice(start + row * words, start + (row + 1) * words);
    return Array.from({ length: words * 32 }, (_, place) => place).filter(
      (place) => (((bits[place >> 5] ?? 0) >>> (place & 31)) & 1) === 1,
    );
  });
}

test("the kinds of leaves are no dimensions, and not the same", () => {
  assert.ok([LEAF, LIST].every((kind) => kind < 0));
  assert.equal(new Set<number>([LEAF, LIST]).size, 2);
});

test("classOf() is the lowest five bits; a text that is not there has a class of its own", () => {
  assert.deepEqual([0, 31, 32, 65, -1].map(classOf), [0, 31, 0, 1, 31]);
  assert.deepEqual([NO_TEXT, CLASSES], [32, 33]);
});

test("bitsOf() is a bit for each class, and all of them for a rule that is bound to no text", () => {
  assert.deepEqual(
    [null, [], [0], [1, 33, 4], [31]].map((prints) => bitsOf(prints)),
    [ALL_PATHS, 0, 1, 0b10010, -(2 ** 31)],
  );
});

test("pushLeaf(): up to three rules are a list: its lowest rank, its end, then classes of paths and program of each", () => {
  const nodes = [7, 7];
  const rules = [rule(5, [2], null), rule(6, null, [3]), rule(9, [0, 1], null)];
  assert.equal(pushLeaf(nodes, rules), 2);
  assert.deepEqual(nodes, [7, 7, LIST, 5, 11, 4, 1005, ALL_PATHS, 1006, 3, 1009]);
  assert.equal(pushLeaf(nodes, []), 11);
  assert.deepEqual(nodes.slice(11), [LIST, 0, 14]);
});

test("pushLeaf(): more than three have rows of bits by class of path, then of caller, then their programs", () => {
  const nodes = [7];
  const rules = [rule(5, [2, 34], null), rule(6, null, [3]), rule(9, [0, 1], [31]), rule(10, [], [0, 0])];
  assert.equal(pushLeaf(nodes, rules), 1);
  assert.deepEqual(nodes.slice(1, 1 + LEAF_ROWS), [LEAF, 5, 1, 1 + LEAF_ROWS + 2 * CLASSES]);
  assert.deepEqual(nodes.slice(1 + LEAF_ROWS + 2 * CLASSES), [1005, 1006, 1009, 1010]);
  const paths = rowsOf(nodes, 1 + LEAF_ROWS, 1);
  assert.deepEqual(paths.slice(0, 4), [[1, 2], [1, 2], [0, 1], [1]]);
  assert.deepEqual(paths.slice(4), new Array(CLASSES - 4).fill([1]));
  const subjects = rowsOf(nodes, 1 + LEAF_ROWS + CLASSES, 1);
  assert.deepEqual(
    [subjects[0], subjects[3], subjects[31]],
    [
      [0, 3],
      [0, 1],
      [0, 2],
    ],
  );
  assert.deepEqual(subjects[NO_TEXT], [0], "a rule that names callers is passed over without one");
  assert.deepEqual(subjects[17], [0]);
});

for (const [count, words] of [
  [32, 1],
  [33, 2],
  [64, 2],
  [65, 3],
] as const)
  test(`pushLeaf(): rows of ${count} rules are ${words} words long`, () => {
    const nodes: number[] = [];
    const rules = Array.from({ length: count }, (_, index) => rule(index, [index], [index + 1]));
    pushLeaf(nodes, rules);
    assert.deepEqual(nodes.slice(0, LEAF_ROWS), [LEAF, 0, words, LEAF_ROWS + 2 * CLASSES * words]);
    const same = (text: number) =>
      rules.map(({ rank }) => rank).filter((rank) => classOf(rank) === classOf(text));
    const paths = rowsOf(nodes, LEAF_ROWS, words);
    const subjects = rowsOf(nodes, LEAF_ROWS + CLASSES * words, words);
    assert.deepEqual(paths, [...Array.from({ length: 32 }, (_, row) => same(row)), []]);
    assert.deepEqual(subjects, [...Array.from({ length: 32 }, (_, row) => same(row + 31)), []]);
    assert.deepEqual(
      nodes.slice(LEAF_ROWS + 2 * CLASSES * words),
      rules.map(({ program }) => program),
    );
  });
