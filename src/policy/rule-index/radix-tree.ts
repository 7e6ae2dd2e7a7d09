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

/** A node that is to be filled in: with these entries, which share what stands before `depth`. */
interface Pending {
  readonly node: number;
  readonly entries: readonly PrefixEntry[];
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
    const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : 1));
    const nodes = emptyNode();
    const entered: number[] = [0];
    const labels: number[] = [];
    const pending: Pending[] = [{ node: 0, entries: sorted, depth: 0 }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      pending.push(...grow(next, nodes, entered, labels));
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
    // Reading beyond a text is slow: optimized code would be left for it.
    if (at + length > text.length) return false;
    const labels = this.#labels;
    const step = backwards ? -1 : 1;
    let place = backwards ? text.length - 1 - at : at;
    for (let index = 0; index < length; index++, place += step) {
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

function emptyNode(): number[] {
  return [0, 0, 0, 0, NO_ID];
}

/** Fills in one node, and makes room for its children. @returns what is left to be filled in. */
function grow(
  { node, entries, depth }: Pending,
  nodes: number[],
  entered: number[],
  labels: number[],
): Pending[] {
  const first = entries[0];
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return [];
  const end = sharedEnd(first.text, last.text, depth);
  nodes[node + LABEL] = labels.length;
  nodes[node + LABEL_LENGTH] = end - depth;
  for (let index = depth; index < end; index++) labels.push(first.text.charCodeAt(index));
  const isWhole = first.text.length === end;
  if (isWhole) nodes[node + ID] = first.id;
  const groups = Map.groupBy(isWhole ? entries.slice(1) : entries, ({ text }) => text.charCodeAt(end));
  nodes[node + CHILDREN] = entered.length;
  nodes[node + CHILD_COUNT] = groups.size;
  return [...groups].map(([character, own]): Pending => {
    const child = nodes.length;
    entered.push(character);
    nodes.push(...emptyNode());
    return { node: child, entries: own, depth: end };
  });
}

/** Up to where the two are the same: all between them in the order are, too. */
function sharedEnd(a: string, b: string, depth: number): number {
  let end = depth;
  // Beyond a text this is NaN, which equals nothing.
  while (a.charCodeAt(end) === b.charCodeAt(end)) end++;
  return end;
}
