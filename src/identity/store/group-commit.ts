import type { BulwarkError } from "../../resources/bulwark-error.ts";

/** What became of one item of a batch: nothing to say, or why it was refused. */
export type Outcome = BulwarkError | undefined;

interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A burst waits together; past this the CA refuses instead of growing. */
const MAX_WAITING = 20_000;
const MAX_BATCH = 500;

/** Items that arrive while a batch is under way go with the next, so that a burst costs a few commits, not one each. */
export class GroupCommit<T> {
  readonly #commit: (items: readonly T[]) => Promise<readonly Outcome[]>;
  readonly #full: () => BulwarkError;
  #waiting: Waiting<T>[] = [];
  #draining: Promise<void> | undefined;

  /** @param commit gives an outcome for each item in order, or rejects for all. @param full the error for what cannot wait. */
  constructor(commit: (items: readonly T[]) => Promise<readonly Outcome[]>, full: () => BulwarkError) {
    this.#commit = commit;
    this.#full = full;
  }

  add(item: T): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) return Promise.reject(this.#full());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ item, resolve, reject });
    this.#draining ??= this.#drain();
    return promise;
  }

  /** Settles when nothing waits any more. */
  async settled(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    // What else this turn of the event loop brings goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, MAX_BATCH);
      this.#waiting = this.#waiting.slice(MAX_BATCH);
      await this.#settle(batch);
    }
    this.#draining = undefined;
  }

  async #settle(batch: readonly Waiting<T>[]): Promise<void> {
    try {
      const outcomes = await this.#commit(batch.map(({ item }) => item));
      for (const [i, { resolve, reject }] of batch.entries()) {
        const refusal = outcomes[i];
        if (refusal === undefined) resolve();
        else reject(refusal);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
