/** What an {@link Alarm} needs of `globalThis`, so that tests can turn the hands. */
export interface Timers {
  readonly setTimeout: (callback: () => void, delayMs: number) => unknown;
  readonly clearTimeout: (handle: unknown) => void;
}

export const SYSTEM_TIMERS: Timers = {
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
};

/**
 * Node fires at once when a delay is above 2^31 ms (25 days), and timers stand still while a machine sleeps; so a
 * far moment is approached in steps, each looking at the clock anew.
 */
const MAX_STEP_MS = 3_600_000;

/** Calls back once when the clock has reached a moment; setting it again forgets the moment before. */
export class Alarm {
  readonly #clock: () => number;
  readonly #timers: Timers;
  #handle: unknown;

  constructor(clock: () => number, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** @param atMs milliseconds since the epoch; a moment that is past calls back soon, never from within this call. */
  set(atMs: number, callback: () => void): void {
    this.clear();
    const delayMs = Math.min(Math.max(atMs - this.#clock(), 0), MAX_STEP_MS);
    this.#handle = this.#timers.setTimeout(() => {
      this.#handle = undefined;
      if (this.#clock() >= atMs) callback();
      else this.set(atMs, callback);
    }, Math.ceil(delayMs));
  }

  clear(): void {
    if (this.#handle !== undefined) this.#timers.clearTimeout(this.#handle);
    this.#handle = undefined;
  }
}
