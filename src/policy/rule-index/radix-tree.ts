/** Finds all prefixes of a text among many, in one walk. */

const CHILDREN = 0;
const CHILD_COUNT = 1;
const LABEL = 2;
const LABEL_LENGTH = 3;
const ID = 4;
const NODE_SIZE = 5;
const NO_ID = -1;

/** A prefix and what it stands for. */
export interface PrefixEntry {
  readonly text: string;
  readonly id: number;
}

interface Pending {
  readonly node: number;
  readonly from: number;
  readonly to: number;
  readonly depth: number;
}

/** A radix tree in flat arrays: a node's children stand side by side, so that finding one is a search in one cache line. */
export class RadixTree {
  readonly #nodes: Int32Array;
  /** First character by which a node is entered. */
  readonly #entered: Uint16Array;
  readonly #labels: Uint16Array;

  /** @param entries with texts that differ. */
  constructor(entries: readonly PrefixEntry[]) {
    const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
    const nodes: number[] = new Array<number>(NODE_SIZE).fill(0);
    const entered: number[] = [0];
    const labels: number[] = [];
    const pending: Pending[] = [{ node: 0, from: 0, to: sorted.length, depth: 0 }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      pending.push(...grow(sorted, next, nodes, entered, labels));
    }
    this.#nodes = Int32Array.from(nodes);
    this.#entered = Uint16Array.from(entered);
    this.#labels = Uint16Array.from(labels);
  }

  /**
   * Appends the ids of all entries that the text starts with, or, read from its end, ends with.
   * @returns how many `out` then holds. It must have room for all entries of the tree.
   */
  collect(text: string, backwards: boolean, out: Int32Array, count: number): number {
    const nodes = this.#nodes;
    let found = count;
    let at = 0;
    for (let node = 0; node >= 0; ) {
      const length = nodes[node + LABEL_LENGTH] ?? 0;
      if (!this.#labelFits(text, backwards, at, nodes[node + LABEL] ?? 0, length)) return found;
      at += length;
      const id = nodes[node + ID] ?? NO_ID;
      if (id !== NO_ID) out[found++] = id;
      if (at >= text.length) return found;
      node = this.#childOf(node, text.charCodeAt(backwards ? text.length - 1 - at : at));
    }
    return found;
  }

  #labelFits(text: string, backwards: boolean, at: number, label: number, length: number): boolean {
    const labels = this.#labels;
    const step = backwards ? -1 : 1;
    let place = backwards ? text.length - 1 - at : at;
    for (let index = 0; index < length; index++, place += step) {
      // Beyond the text this is NaN, which no label is.
      if (text.charCodeAt(place) !== labels[label + index]) return false;
    }
    return true;
  }

  #childOf(node: number, character: number): number {
    const entered = this.#entered;
    const first = this.#nodes[node + CHILDREN] ?? 0;
    let low = 0;
    let high = (this.#nodes[node + CHILD_COUNT] ?? 0) - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const seen = entered[first + middle] ?? 0;
      if (seen === character) return (first + middle) * NODE_SIZE;
      if (seen < character) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

/** Fills in one node, and makes room for its children. @returns what is left to be filled in. */
function grow(
  sorted: readonly PrefixEntry[],
  { node, from, to, depth }: Pending,
  nodes: number[],
  entered: number[],
  labels: number[],
): Pending[] {
  const first = sorted[from]?.text ?? "";
  const end = depth + sharedLength(first, sorted[to - 1]?.text ?? "", depth);
  nodes[node + LABEL] = labels.length;
  nodes[node + LABEL_LENGTH] = end - depth;
  for (let index = depth; index < end; index++) labels.push(first.charCodeAt(index));
  const whole = from < to && first.length === end;
  nodes[node + ID] = whole ? (sorted[from]?.id ?? NO_ID) : NO_ID;
  nodes[node + CHILDREN] = entered.length;
  const children: Pending[] = [];
  for (let at = whole ? from + 1 : from; at < to; ) {
    const character = sorted[at]?.text.charCodeAt(end) ?? 0;
    let next = at + 1;
    while (next < to && sorted[next]?.text.charCodeAt(end) === character) next++;
    children.push({ node: nodes.length, from: at, to: next, depth: end });
    entered.push(character);
    nodes.push(0, 0, 0, 0, NO_ID);
    at = next;
  }
  nodes[node + CHILD_COUNT] = children.length;
  return children;
}

/** How many characters from `depth` on the two share: as many as all between them in the order do. */
function sharedLength(a: string, b: string, depth: number): number {
  const most = Math.min(a.length, b.length) - depth;
  let length = 0;
  while (length < most && a.charCodeAt(depth + length) === b.charCodeAt(depth + length)) length++;
  return length;
}
