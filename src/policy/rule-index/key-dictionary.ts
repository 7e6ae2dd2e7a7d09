/**
 * Numbers for the keys of one dimension, and how the keys of a request are found among them. An exact text's key is its hash, so
 * that nothing has to be looked up for it; others are counted. Keys that happen to be equal cost time, no more.
 */
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import { AddressTree, type BlockEntry, blockKey } from "./address-tree.ts";
import type { AddressDimension, ConditionKeys, Dimension, TextDimension } from "./dimension.ts";
import { type PrefixEntry, RadixTree } from "./radix-tree.ts";
import { textHash } from "./text-print.ts";

/** Answer of KeyLookup.collect where keys say nothing of the connection. */
export const ANY_KEY = -1;

export interface KeyLookup {
  /**
   * Writes the keys that the request has, each once, into `out`, which has room for `room` of them. Allocates nothing.
   * @returns how many, or ANY_KEY.
   */
  collect(connection: Connection, request: HttpRequest | null, out: Int32Array): number;
}

/** Grows while rules are compiled. */
export class KeyDictionary {
  readonly dimension: Dimension;
  readonly #hashes = new Set<number>();
  readonly #prefixes = new Map<string, number>();
  readonly #suffixes = new Map<string, number>();
  readonly #blocks = new Map<string, BlockEntry>();
  #patterns = 0;

  constructor(dimension: Dimension) {
    this.dimension = dimension;
  }

  /** As many keys as collect may write, for a moment some of them twice. */
  get room(): number {
    return 2 * (this.#patterns + this.#hashes.size + 1);
  }

  /** Whether a text's hash is the only key that it can have. */
  get isExact(): boolean {
    return this.#patterns === 0;
  }

  /** @param keys none of them `*`, which cannot be looked up. */
  idsOf(keys: ConditionKeys): readonly number[] {
    if ("blocks" in keys) return keys.blocks.map((block) => this.#block(block));
    if ("ports" in keys) return keys.ports;
    const { exact, prefixes, suffixes } = keys.patterns;
    return [
      ...[...exact].map((text) => this.#hash(text)),
      ...prefixes.map((text) => this.#number(this.#prefixes, text)),
      ...suffixes.map((text) => this.#number(this.#suffixes, backwards(text))),
    ];
  }

  lookup(): KeyLookup {
    const { dimension } = this;
    switch (dimension.kind) {
      case "text":
        return new TextLookup(dimension, this.#hashes, treeOf(this.#prefixes), treeOf(this.#suffixes));
      case "address":
        return new AddressLookup(dimension, new AddressTree([...this.#blocks.values()]));
      case "port":
        return PORT_LOOKUP;
    }
  }

  #hash(text: string): number {
    const hash = textHash(text);
    this.#hashes.add(hash);
    return hash;
  }

  #number(known: Map<string, number>, key: string): number {
    const id = known.get(key);
    if (id !== undefined) return id;
    known.set(key, this.#patterns);
    return this.#patterns++;
  }

  #block(block: BlockEntry["block"]): number {
    const key = blockKey(block);
    const known = this.#blocks.get(key);
    if (known !== undefined) return known.id;
    this.#blocks.set(key, { block, id: this.#patterns });
    return this.#patterns++;
  }
}

function backwards(text: string): string {
  let reversed = "";
  for (let index = text.length - 1; index >= 0; index--) reversed += text.charAt(index);
  return reversed;
}

function treeOf(texts: ReadonlyMap<string, number>): RadixTree | null {
  if (texts.size === 0) return null;
  return new RadixTree([...texts].map(([text, id]): PrefixEntry => ({ text, id })));
}

class TextLookup implements KeyLookup {
  readonly #dimension: TextDimension;
  readonly #hashes: ReadonlySet<number>;
  readonly #prefixes: RadixTree | null;
  readonly #suffixes: RadixTree | null;

  constructor(
    dimension: TextDimension,
    hashes: ReadonlySet<number>,
    prefixes: RadixTree | null,
    suffixes: RadixTree | null,
  ) {
    this.#dimension = dimension;
    this.#hashes = hashes;
    this.#prefixes = prefixes;
    this.#suffixes = suffixes;
  }

  collect(connection: Connection, request: HttpRequest | null, out: Int32Array): number {
    const dimension = this.#dimension;
    if (dimension.tells !== undefined && !dimension.tells(connection)) return ANY_KEY;
    let count = 0;
    let at = dimension.next(connection, request, -1);
    while (at >= 0) {
      const before = count;
      count = this.#keysOf(dimension.textAt(connection, request, at), out, before);
      if (before > 0) count = withoutRepeats(out, before, count);
      at = dimension.next(connection, request, at);
    }
    return count;
  }

  #keysOf(text: string, out: Int32Array, before: number): number {
    const hash = textHash(text);
    let count = before;
    // A request may repeat a header as often as it likes: only what rules name takes room.
    if (this.#dimension.repeats !== true || this.#hashes.has(hash)) out[count++] = hash;
    if (this.#prefixes !== null) count = this.#prefixes.collect(text, false, out, count);
    if (this.#suffixes !== null) count = this.#suffixes.collect(text, true, out, count);
    return count;
  }
}

/** Drops of the keys from `before` on those that stand before it. @returns how many are left. */
function withoutRepeats(out: Int32Array, before: number, count: number): number {
  let kept = before;
  for (let index = before; index < count; index++) {
    const id = out[index] ?? 0;
    let known = 0;
    while (known < before && out[known] !== id) known++;
    if (known === before) out[kept++] = id;
  }
  return kept;
}

class AddressLookup implements KeyLookup {
  readonly #dimension: AddressDimension;
  readonly #tree: AddressTree;

  constructor(dimension: AddressDimension, tree: AddressTree) {
    this.#dimension = dimension;
    this.#tree = tree;
  }

  collect(connection: Connection, request: HttpRequest | null, out: Int32Array): number {
    const address = this.#dimension.addressOf(connection, request);
    return address === null ? 0 : this.#tree.collect(address, out, 0);
  }
}

const PORT_LOOKUP: KeyLookup = {
  collect({ destinationPort }, _request, out) {
    out[0] = destinationPort;
    return 1;
  },
};
