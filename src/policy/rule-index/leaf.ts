/**
 * Leaves of the search tree: rules that are tested one by one, but for those that sets of bits pass over. For each of 32 classes
 * of paths, and of callers, a row of bits says which rules can match; what is in both rows is tested.
 */

/** What a leaf needs to know of a rule. */
export interface LeafRule {
  readonly rank: number;
  /** Where its program begins. */
  readonly program: number;
  /** Prints of the only paths and callers that it can match; null: of any. */
  readonly paths: readonly number[] | null;
  readonly subjects: readonly number[] | null;
}

/** [LEAF, lowest rank, words in a row, programs, rows of paths…, rows of subjects…, programs…] */
export const LEAF = -1;
export const LEAF_WORDS = 2;
export const LEAF_PROGRAMS = 3;
export const LEAF_ROWS = 4;
/** [LIST, lowest rank, end, (classes of paths, program)…]: so few rules that rows would not pay. */
export const LIST = -2;
export const LIST_END = 2;
export const LIST_HEAD = 3;
export const LIST_ENTRY = 2;
/** Every class of paths, as bits. */
export const ALL_PATHS = -1;

const LIST_RULES = 3;
/** Classes of texts by their prints; one more is of a text that is not there. */
const TEXT_CLASSES = 32;
export const NO_TEXT = TEXT_CLASSES;
export const CLASSES = TEXT_CLASSES + 1;

/** Which class a text of this print is of. */
export function classOf(print: number): number {
  return print & (TEXT_CLASSES - 1);
}

/** Appends a leaf. @returns where it begins. */
export function pushLeaf(nodes: number[], rules: readonly LeafRule[]): number {
  const start = nodes.length;
  const rank = rules[0]?.rank ?? 0;
  if (rules.length <= LIST_RULES) {
    nodes.push(LIST, rank, start + LIST_HEAD + rules.length * LIST_ENTRY);
    for (const { program, paths } of rules) nodes.push(bitsOf(paths), program);
    return start;
  }
  const words = Math.ceil(rules.length / 32);
  const programs = start + LEAF_ROWS + 2 * CLASSES * words;
  nodes.push(LEAF, rank, words, programs);
  pushRows(nodes, rules, words, ({ paths }) => paths);
  pushRows(nodes, rules, words, ({ subjects }) => subjects);
  for (const { program } of rules) nodes.push(program);
  return start;
}

/** Classes, as bits. */
export function bitsOf(prints: readonly number[] | null): number {
  return prints === null ? ALL_PATHS : prints.reduce((bits, print) => bits | (1 << classOf(print)), 0);
}

function pushRows(
  nodes: number[],
  rules: readonly LeafRule[],
  words: number,
  printsOf: (rule: LeafRule) => readonly number[] | null,
): void {
  const rows = new Int32Array(CLASSES * words);
  for (const [index, rule] of rules.entries()) {
    const classes = printsOf(rule)?.map(classOf) ?? EVERY_CLASS;
    for (const row of classes) {
      const place = row * words + (index >> 5);
      rows[place] = (rows[place] ?? 0) | (1 << (index & 31));
    }
  }
  for (const word of rows) nodes.push(word);
}

const EVERY_CLASS: readonly number[] = Array.from({ length: CLASSES }, (_, index) => index);
