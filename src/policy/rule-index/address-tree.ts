/** Finds all blocks that hold an address among many, in one walk over its bits. */
import type { CidrBlock, IpAddress } from "../ip-address.ts";

const ZERO = 0;
const ONE = 1;
const ID = 2;
const NODE_SIZE = 3;
const NONE = -1;
/** Roots of the two families. */
const ROOT_V4 = 0;
const ROOT_V6 = NODE_SIZE;

export interface BlockEntry {
  readonly block: CidrBlock;
  readonly id: number;
}

/** A binary prefix tree. At most 129 steps, as many as the address has bits. */
export class AddressTree {
  readonly #nodes: Int32Array;

  /** @param entries with blocks that differ (blockKey). */
  constructor(entries: readonly BlockEntry[]) {
    const nodes: number[] = [NONE, NONE, NONE, NONE, NONE, NONE];
    for (const { block, id } of entries) {
      let node = block.address.family === 4 ? ROOT_V4 : ROOT_V6;
      for (let depth = 0; depth < block.prefixLength; depth++) {
        const side = node + (bitAt(block.address, depth) === 0 ? ZERO : ONE);
        if ((nodes[side] ?? NONE) < 0) {
          nodes[side] = nodes.length;
          nodes.push(NONE, NONE, NONE);
        }
        node = nodes[side] ?? NONE;
      }
      nodes[node + ID] = id;
    }
    this.#nodes = Int32Array.from(nodes);
  }

  /** Appends the ids of the blocks that hold the address. @returns how many `out` then holds. */
  collect(address: IpAddress, out: Int32Array, count: number): number {
    const nodes = this.#nodes;
    let found = count;
    let depth = 0;
    // A node of the last bit has no children, so nothing past it counts.
    for (let node = address.family === 4 ? ROOT_V4 : ROOT_V6; node >= 0; depth++) {
      const id = nodes[node + ID] ?? NONE;
      if (id !== NONE) out[found++] = id;
      node = nodes[node + (bitAt(address, depth) === 0 ? ZERO : ONE)] ?? NONE;
    }
    return found;
  }
}

function bitAt({ words }: IpAddress, depth: number): number {
  return ((words[depth >> 5] ?? 0) >>> (31 - (depth & 31))) & 1;
}

/** Equal for blocks that hold the same addresses. */
export function blockKey({ address, prefixLength }: CidrBlock): string {
  let bits = "";
  for (let depth = 0; depth < prefixLength; depth++) bits += bitAt(address, depth);
  return `${address.family}/${bits}`;
}
