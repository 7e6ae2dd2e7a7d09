/** A small seeded generator (mulberry32): the same seed gives the same inputs on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** For what a check itself decides at random: from the input, so that a saved input replays alike. */
  static of(input: Uint8Array): Random {
    let hash = 0x811c9dc5;
    for (const byte of input) hash = Math.imul(hash ^ byte, 0x01000193);
    return new Random(hash);
  }

  /** 0 … 2^32 − 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 … limit − 1; 0 for a limit of 0. */
  below(limit: number): number {
    return limit < 2 ? 0 : this.next() % limit;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0];
  }

  /** Small most of the time. */
  size(limit: number): number {
    return this.below(1 + this.below(limit));
  }
}
