/**
 * What instrumented code asks at run time: is this mutant the active one? Counts which mutants are reached, and puts the memories
 * of modules back when another mutant is switched on, so that no mutant sees what another one left.
 */

/** No mutant is active. */
export const NO_MUTANT = -1;

/** Thrown inside a mutant that goes round far more often than the original did. */
export class HitLimitError extends Error {
  override readonly name = "HitLimitError";
}

export class Switchboard {
  active = NO_MUTANT;
  /** Count what is reached: the first runs, without a mutant. */
  readonly recording: boolean;
  hits = 0;
  hitLimit = Number.POSITIVE_INFINITY;
  /** How often each mutant was reached, while recording. */
  readonly counts: Uint32Array;
  readonly WeakMap: typeof WeakMap;
  #epoch = 0;
  readonly #resets: (() => void)[] = [];

  constructor(mutants: number, recording: boolean) {
    this.recording = recording;
    this.counts = new Uint32Array(mutants);
    this.WeakMap = forgetfulWeakMap(() => this.#epoch);
  }

  /** The active mutant was reached. */
  hit(): true {
    this.hits += 1;
    if (this.hits > this.hitLimit) throw new HitLimitError(`reached ${this.hits} times`);
    return true;
  }

  reached(...ids: readonly number[]): void {
    for (const id of ids) this.counts[id] = (this.counts[id] ?? 0) + 1;
  }

  /** Says how a module's own variables are put back. */
  onReset(reset: () => void): void {
    this.#resets.push(reset);
  }

  switchTo(mutant: number): void {
    this.#epoch += 1;
    for (const reset of this.#resets) reset();
    this.active = mutant;
  }
}

/** A WeakMap that is empty after each switch: it memorizes what mutants compute. */
function forgetfulWeakMap(epochNow: () => number): typeof WeakMap {
  const Own = WeakMap;
  class ForgetfulWeakMap<K extends WeakKey, V> {
    #inner = new Own<K, V>();
    #epoch = epochNow();

    #current(): WeakMap<K, V> {
      const epoch = epochNow();
      if (epoch !== this.#epoch) {
        this.#epoch = epoch;
        this.#inner = new Own();
      }
      return this.#inner;
    }

    get(key: K): V | undefined {
      return this.#current().get(key);
    }

    has(key: K): boolean {
      return this.#current().has(key);
    }

    set(key: K, value: V): this {
      this.#current().set(key, value);
      return this;
    }

    delete(key: K): boolean {
      return this.#current().delete(key);
    }
  }
  return ForgetfulWeakMap as unknown as typeof WeakMap;
}
