/** Something that must not last for ever. `deadlineMs` is on the clock of {@link Deadlines.nowMs}. */
export interface Bounded {
  /** 0 = none. */
  deadlineMs: number;
  onDeadline(): void;
}

const SWEEP_MS = 250;

/**
 * One timer for all time-outs of a process. A timer for each request costs more than the request's parse; a sweep over
 * 10,000 connections four times a second costs a tenth of a percent of a core. Deadlines are late by up to 250 ms.
 */
export class Deadlines {
  readonly #watched = new Set<Bounded>();
  readonly #timer: NodeJS.Timeout;
  #nowMs: number = performance.now();

  constructor() {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** Monotonic milliseconds, as of the last sweep: cheap enough for every byte that arrives. */
  get nowMs(): number {
    return this.#nowMs;
  }

  watch(bounded: Bounded): void {
    this.#watched.add(bounded);
  }

  forget(bounded: Bounded): void {
    this.#watched.delete(bounded);
  }

  get size(): number {
    return this.#watched.size;
  }

  /** Everything that is watched, for who closes or re-checks all of it. */
  [Symbol.iterator](): Iterator<Bounded> {
    return this.#watched.values();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    this.#nowMs = performance.now();
    for (const bounded of this.#watched) {
      if (bounded.deadlineMs > 0 && bounded.deadlineMs <= this.#nowMs) {
        bounded.deadlineMs = 0;
        bounded.onDeadline();
      }
    }
  }
}
