import { BulwarkError } from "../resources/bulwark-error.ts";

/** Four of the slowest that are computed on the event loop (P-256, read back) take under a millisecond. */
const PER_TURN = 4;
/** Past this a burst is refused instead of remembered. */
const MAX_WAITING = 50_000;

export interface TurnsOptions {
  readonly perTurn?: number;
  readonly maxWaiting?: number;
  /** Calls back once other work has had its turn; `setImmediate` by default. */
  readonly later?: (callback: () => void) => void;
}

/**
 * Lets so many pieces of work run in one turn of the event loop and no more: a burst of requests waits in line, while sockets and timers of
 * the same process are served between any two turns.
 */
export class Turns {
  readonly #perTurn: number;
  readonly #maxWaiting: number;
  readonly #later: (callback: () => void) => void;
  readonly #waiting: (() => void)[] = [];
  /** First of `#waiting` that still waits: taking from an array's front one by one would be quadratic. */
  #next = 0;
  #left: number;
  #counting = false;

  constructor(options: TurnsOptions = {}) {
    this.#perTurn = options.perTurn ?? PER_TURN;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING;
    this.#later = options.later ?? ((callback) => void setImmediate(callback));
    this.#left = this.#perTurn;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length - this.#next;
  }

  /** Resolves when it is the caller's turn, in order of asking. @throws {BulwarkError} BW_CA_BUSY when too many wait already. */
  take(): Promise<void> {
    this.#count();
    if (this.#left > 0 && this.waiting === 0) {
      this.#left--;
      return Promise.resolve();
    }
    if (this.waiting >= this.#maxWaiting)
      return Promise.reject(
        new BulwarkError("BW_CA_BUSY", "the CA has too many requests waiting; ask again later"),
      );
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #count(): void {
    if (this.#counting) return;
    this.#counting = true;
    this.#later(() => this.#turn());
  }

  #turn(): void {
    this.#counting = false;
    this.#left = this.#perTurn;
    for (; this.#left > 0 && this.#next < this.#waiting.length; this.#left--) this.#waiting[this.#next++]?.();
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    } else this.#count();
  }
}
