/** Numbers for the keys of one dimension, and how the keys of a request are found among them. */
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import { AddressTree, type BlockEntry, blockKey } from "./address-tree.ts";
import type { AddressDimension, ConditionKeys, Dimension, TextDimension } from "./dimension.ts";
import { type PrefixEntry, RadixTree } from "./radix-tree.ts";

/** Answer of KeyLookup.collect where keys say nothing of the connection. */
export const ANY_KEY = -1;

export interface KeyLookup {
  /**
   * Writes the numbers of the keys that the request has, each once. `out` must have room for
   * twice the dictionary.
   * Allocates nothing.
   * @returns how many, or ANY_KEY.
   */
  collect(connection: Connection, request: HttpRequest | null, out: Int32Array): number;
}

/** Grows while rules are compiled. */
export class KeyDictionary {
  readonly dimension: Dimension;
  readonly #exact = new Map<string, number>();
  readonly #prefixes = new Map<string, number>();
  readonly #suffixes = new Map<string, number>();
  readonly #blocks = new Map<string, BlockEntry>();
  readonly #ports = new Map<number, number>();
  #size = 0;

  constructor(dimension: Dimension) {
    this.dimension = dimension;
  }

  /** Keys are numbered from 0. */
  get size(): number {
    return this.#size;
  }

  /** Null where the keys are not such that one can be looked up (`*`). */
  idsOf(keys: ConditionKeys): readonly number[] | null {
    if ("blocks" in keys) return keys.blocks.map((block) => this.#block(block));
    if ("ports" in keys) return keys.ports.map((port) => this.#number(this.#ports, port));
    const { any, exact, prefixes, suffixes } = keys.patterns;
    if (any) return null;
    return [
      ...[...exact].map((text) => this.#number(this.#exact, text)),
      ...prefixes.map((text) => this.#number(this.#prefixes, text)),
      ...suffixes.map((text) => this.#number(this.#suffixes, backwards(text))),
    ];
  }

  /** Numbers of exact texts: of the index itself, not a copy. */
  get exact(): ReadonlyMap<string, number> {
    return this.#exact;
  }

  lookup(): KeyLookup {
    const { dimension } = this;
    switch (dimension.kind) {
      case "text":
        return new TextLookup(dimension, this.#exact, treeOf(this.#prefixes), treeOf(this.#suffixes));
      case "address":
        return new AddressLookup(dimension, new AddressTree([...this.#blocks.values()]));
      case "port":
        return new PortLookup(this.#ports);
    }
  }

  #number<K>(known: Map<K, number>, key: K): number {
    const id = known.get(key);
    if (id !== undefined) return id;
    known.set(key, this.#size);
    return this.#size++;
  }

  #block(block: BlockEntry["block"]): number {
    const key = blockKey(block);
    const known = this.#blocks.get(key);
    if (known !== undefined) return known.id;
    this.#blocks.set(key, { block, id: this.#size });
    return this.#size++;
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
  readonly #exact: ReadonlyMap<string, number>;
  readonly #prefixes: RadixTree | null;
  readonly #suffixes: RadixTree | null;

  constructor(
    dimension: TextDimension,
    exact: ReadonlyMap<string, number>,
    prefixes: RadixTree | null,
    suffixes: RadixTree | null,
  ) {
    this.#dimension = dimension;
    this.#exact = exact;
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
    let count = before;
    const id = this.#exact.get(text);
    if (id !== undefined) out[count++] = id;
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

class PortLookup implements KeyLookup {
  readonly #ports: ReadonlyMap<number, number>;

  constructor(ports: ReadonlyMap<number, number>) {
    this.#ports = ports;
  }

  collect(connection: Connection, _request: HttpRequest | null, out: Int32Array): number {
    const id = this.#ports.get(connection.destinationPort);
    if (id === undefined) return 0;
    out[0] = id;
    return 1;
  }
}
