import { READ_BYTES } from "./lent-reads.ts";

/** Buffers of one size, each for one write at a time. */
class BlockPool {
  readonly bytes: number;
  readonly #most: number;
  readonly #free: Buffer[] = [];
  #out = 0;

  /** @param most blocks under way at the same time: they are what slow readers can hold. */
  constructor(bytes: number, most: number) {
    this.bytes = bytes;
    this.#most = most;
  }

  take(): Buffer | undefined {
    if (this.#out >= this.#most) return undefined;
    this.#out += 1;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** @param idle whether nothing can read from it any more. */
  give(block: Buffer, idle: boolean): void {
    this.#out -= 1;
    if (idle) this.#free.push(block);
  }
}

/** A head with a short body; 4 MiB at most. */
const small = new BlockPool(4 * 1024, 1024);
/** A whole read with a head before it; 9 MiB at most. */
const large = new BlockPool(READ_BYTES + 16 * 1024, 64);

/**
 * A buffer of at least this length that was used before, where there is one: new memory outside of V8's heap costs page faults and
 * collections. Undefined while too many are under way: then memory of the exact size costs a slow reader less.
 */
export function takeBlock(length: number): Buffer | undefined {
  if (length <= small.bytes) return small.take();
  return length <= large.bytes ? large.take() : undefined;
}

/**
 * Every block taken comes back once.
 * @param idle whether nothing can read from it any more, as after a write that went well; else it is left to the garbage collector.
 */
export function giveBlock(block: Buffer, idle: boolean): void {
  (block.length === small.bytes ? small : large).give(block, idle);
}
