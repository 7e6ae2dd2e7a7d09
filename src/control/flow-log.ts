import { BulwarkError } from "../resources/bulwark-error.ts";
import { FlowStore, type InsertOptions, type InsertResult } from "../telemetry/flow-store.ts";

export interface FlowLogOptions {
  /** Told when the log stops taking records, with why, and when it takes them again. */
  readonly onHealth: (ok: boolean, message: string | null) => void;
  readonly onWarning: (message: string) => void;
}

/**
 * The flow log as control keeps it: when it cannot be opened or written, that is said and everything else goes on; senders
 * keep what was not stored and come again.
 */
export class FlowLog {
  readonly #path: string;
  readonly #options: FlowLogOptions;
  #store: FlowStore | undefined;
  #problem: string | null = null;

  constructor(path: string, options: FlowLogOptions) {
    this.#path = path;
    this.#options = options;
    this.#attempt(() => this.#open());
  }

  /** Why records are not taken now; null when they are. */
  get problem(): string | null {
    return this.#problem;
  }

  get rows(): number {
    return this.#store?.rows ?? 0;
  }

  /**
   * Stores records, all or none; returns once they are on the disk. What is no record is left out, and said.
   * @throws {BulwarkError} nothing was stored: send them again.
   */
  insert(records: readonly unknown[], options: InsertOptions): void {
    this.#take((store) => store.insert(records, options), options);
  }

  /** The same from batches, as proxies send them. */
  insertBatches(batches: readonly Buffer[], options: InsertOptions): void {
    this.#take((store) => store.insertBatches(batches, options), options);
  }

  /** The same from lines of JSON. */
  insertLines(text: string, options: InsertOptions): void {
    this.#take((store) => store.insertLines(text, options), options);
  }

  /** @throws {BulwarkError} BW_FLOWS_UNAVAILABLE, and those of the store. */
  read<T>(work: (store: FlowStore) => T): T {
    return work(this.#open());
  }

  close(): void {
    this.#store?.close();
    this.#store = undefined;
  }

  #take(store: (log: FlowStore) => InsertResult, { reporter }: InsertOptions): void {
    const result = this.#attempt(() => store(this.#open()));
    if (result === undefined)
      throw new BulwarkError("BW_FLOWS_UNAVAILABLE", this.#problem ?? "the flow log is away");
    const left = result.rejected + result.conflicts;
    if (left > 0)
      this.#options.onWarning(
        `${left} flow records of ${reporter ?? "a sender"} were not taken: not records, or not its own`,
      );
  }

  #open(): FlowStore {
    this.#store ??= new FlowStore(this.#path, { onMessage: (message) => this.#options.onWarning(message) });
    return this.#store;
  }

  #attempt<T>(work: () => T): T | undefined {
    try {
      const value = work();
      this.#tell(null);
      return value;
    } catch (error) {
      this.#tell(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #tell(problem: string | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onHealth(problem === null, problem);
  }
}
