import { boundRuns } from "./bounded-fast-check.ts";
import { type CollectedFile, type CollectedTest, callBody, collect, suitesOf } from "./collector.ts";
import type { KnownTest, Order, Tried } from "./protocol.ts";
import { HitLimitError, NO_MUTANT, type Switchboard } from "./switchboard.ts";

/** Runs tests, each as often as it is asked to. */
export class TestBench {
  readonly #board: Switchboard;
  readonly #load: (file: string) => Promise<unknown>;
  readonly #files = new Map<string, CollectedFile>();
  #tests: readonly KnownTest[] = [];
  #setups: ReadonlyMap<string, readonly number[]> = new Map();
  /** Set-ups that have run, with the mutant under which they last did: `FILE ORDINAL`. */
  readonly #setUp = new Map<string, number>();

  constructor(board: Switchboard, load: (file: string) => Promise<unknown>) {
    this.#board = board;
    this.#load = load;
  }

  know(tests: readonly KnownTest[], setups: ReadonlyMap<string, readonly number[]>): void {
    this.#tests = tests;
    this.#setups = setups;
  }

  /** Tests of a file, loaded once. */
  async file(name: string): Promise<CollectedFile> {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const loaded = await collect(() => this.#load(name));
    this.#files.set(name, loaded);
    return loaded;
  }

  /** Tries a mutant until a test fails. */
  async tryMutant(order: Order & { kind: "try" }): Promise<Omit<Tried, "rssBytes">> {
    const { mutant, tests, hitLimits, fresh } = order;
    if (fresh) this.#board.active = mutant;
    for (const [place, index] of tests.entries()) {
      const known = this.#tests[index];
      if (known === undefined) throw new Error(`no test ${index}`);
      try {
        if (!fresh && !this.#files.has(known.file)) await this.#loadUnmutated(known.file);
        if (place === 0 && !fresh) this.#board.switchTo(mutant);
        this.#board.hitLimit = hitLimits[place] ?? Number.POSITIVE_INFINITY;
        await this.run(known.file, known.ordinal, known.full);
      } catch (error) {
        return { killedBy: index, error: firstLine(error), hitLimit: error instanceof HitLimitError };
      }
    }
    return {};
  }

  async #loadUnmutated(file: string): Promise<void> {
    const { active } = this.#board;
    this.#board.active = NO_MUTANT;
    await this.file(file);
    this.#board.active = active;
  }

  /** Runs one test, with the set-ups of its suites that are due. */
  async run(file: string, ordinal: number, full: boolean): Promise<void> {
    const { tests } = await this.file(file);
    const test = tests[ordinal];
    if (test === undefined) throw new Error(`${file} has no test ${ordinal}`);
    boundRuns(!full);
    this.#board.hits = 0;
    await this.#setUpFor(file, test);
    const suites = suitesOf(test);
    for (const { beforeEach } of suites) for (const hook of beforeEach) await hook();
    try {
      await callBody(test.name, test.body);
    } finally {
      for (const { afterEach } of suites.toReversed()) for (const hook of afterEach) await hook();
    }
  }

  async #setUpFor(file: string, test: CollectedTest): Promise<void> {
    for (const { before } of suitesOf(test))
      for (const { run, ordinal } of before) {
        const key = `${file} ${ordinal}`;
        const last = this.#setUp.get(key);
        const reaches = this.#setups.get(file)?.includes(ordinal) ?? false;
        if (last === this.#board.active || (last !== undefined && !reaches)) continue;
        this.#setUp.delete(key);
        await run();
        this.#setUp.set(key, this.#board.active);
      }
  }

  /** Set-ups that reach mutants are due again. */
  forgetSetUps(): void {
    for (const [file, ordinals] of this.#setups)
      for (const ordinal of ordinals) this.#setUp.delete(`${file} ${ordinal}`);
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0]?.slice(0, 200) ?? "";
}
