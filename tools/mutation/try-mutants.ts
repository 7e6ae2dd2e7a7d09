import type { ImportGraph } from "./imports.ts";
import type { Mutant } from "./instrument.ts";
import type { Outcome } from "./outcome.ts";
import type { KnownTest, Recording, TestRecord, Tried, WorkerSettings } from "./protocol.ts";
import { WorkerEndedError, WorkerProcess, WorkerTimeoutError } from "./worker-process.ts";

/** A mutant that goes round this much more often than the original, and some, never ends. */
const HIT_FACTOR = 100;
const HIT_ALLOWANCE = 1000;

/** Generous, for machines that pause: most endless mutants reach their hit limit long before. */
const TIMEOUT_MS = 20_000;
const TIMEOUT_FACTOR = 10;

/** What modules and tests leave behind piles up. */
const RECYCLED_AT_BYTES = 1.5e9;

/** A mutant of a module's own constants costs a process: what its tests may take, as measured in a warm one. */
const START_BUDGET_MS = 1500;

/** Tests of one file that a mutant is tried with. A tenth of the time of all, and nearly all that they notice. */
const CASES = 40;

interface Reach {
  readonly test: number;
  readonly hits: number;
}

/** Which tests a mutant is tried with, and how. */
export class Plan {
  readonly #recording: Recording;
  readonly #graph: ImportGraph;
  readonly #reaching = new Map<number, Reach[]>();
  readonly #atStart: ReadonlySet<number>;
  readonly #atImport = new Map<number, string[]>();

  readonly #sourceOf: (id: number) => string | undefined;
  readonly #startTests = new Map<string, readonly number[]>();

  readonly #thorough: boolean;

  /**
   * @param sourceOf the file that a mutant is in.
   * @param thorough try with every test that reaches it.
   */
  constructor(
    recording: Recording,
    graph: ImportGraph,
    sourceOf: (id: number) => string | undefined,
    thorough: boolean,
  ) {
    this.#thorough = thorough;
    this.#sourceOf = sourceOf;
    this.#recording = recording;
    this.#graph = graph;
    this.#atStart = new Set(recording.atStart);
    for (const [test, { reached, hits }] of recording.tests.entries())
      for (const [place, id] of reached.entries()) push(this.#reaching, id, { test, hits: hits[place] ?? 0 });
    for (const [file, reached] of recording.atImport)
      for (const id of reached) push(this.#atImport, id, file);
  }

  get tests(): readonly TestRecord[] {
    return this.#recording.tests;
  }

  get setups(): Recording["setups"] {
    return this.#recording.setups;
  }

  /** What a mutant is that no test has noticed. */
  unnoticed({ id }: Mutant): "survived" | "unreached" {
    const isReached = this.#reaching.has(id) || this.#atStart.has(id) || this.#atImport.has(id);
    return isReached ? "survived" : "unreached";
  }

  /** Tests that reach the mutant while they run, fast ones first; of a file with very many (recorded cases), some, unless thorough. */
  reaching({ id }: Mutant): readonly Reach[] {
    const all = this.#reaching.get(id) ?? [];
    const byFile = Map.groupBy(all, ({ test }) => this.tests[test]?.file);
    const reaching = this.#thorough ? all : [...byFile.values()].flatMap(sample);
    return reaching.toSorted((a, b) => this.#ms(a) - this.#ms(b));
  }

  /**
   * Tests that may see a mutant which is reached while code is loaded, in the order in which they run: for those of `src`, tests
   * that reach something of the file, or else all that import it, fast ones first, as many as START_BUDGET_MS holds; of a test
   * file, all of its own. Empty where nothing reaches it so.
   */
  loading(mutant: Mutant): readonly Reach[] {
    const tests = this.#atStart.has(mutant.id) ? this.#atStartFor(mutant.file) : this.#testsOf(mutant);
    return tests.map((test) => ({ test, hits: Number.POSITIVE_INFINITY }));
  }

  #testsOf({ id }: Mutant): readonly number[] {
    const files = this.#atImport.get(id) ?? [];
    return this.#indexes().filter((index) => files.includes(this.tests[index]?.file ?? ""));
  }

  #atStartFor(source: string): readonly number[] {
    const known = this.#startTests.get(source);
    if (known !== undefined) return known;
    const reaching = new Set<number>();
    for (const [id, reaches] of this.#reaching)
      if (this.#sourceOf(id) === source) for (const { test } of reaches) reaching.add(test);
    const seeing = (index: number): boolean => this.#graph.of(this.tests[index]?.file ?? "").has(source);
    const meant = this.#indexes().filter((index) =>
      reaching.size > 0 ? reaching.has(index) : seeing(index),
    );
    const made = this.#withinBudget(meant);
    this.#startTests.set(source, made);
    return made;
  }

  /** Loading files costs more than their tests: those of one file stay together, files with fast tests first. */
  #withinBudget(indexes: readonly number[]): readonly number[] {
    const fast = indexes.toSorted((a, b) => this.#ms({ test: a }) - this.#ms({ test: b }));
    const taken: number[] = [];
    let left = START_BUDGET_MS;
    for (const test of fast) {
      left -= this.#ms({ test });
      if (left > 0) taken.push(test);
    }
    const groups = Map.groupBy(taken, (index) => this.tests[index]?.file);
    return [...groups.values()].flat();
  }

  #indexes(): number[] {
    return this.tests.keys().toArray();
  }

  #ms({ test }: Pick<Reach, "test">): number {
    return this.tests[test]?.ms ?? 0;
  }
}

/** Evenly over the file: cases that are like one another stand side by side. */
function sample(reaches: readonly Reach[]): readonly Reach[] {
  const step = Math.max(1, reaches.length / CASES);
  return reaches.filter(
    (_, place) => place === 0 || Math.floor(place / step) > Math.floor((place - 1) / step),
  );
}

function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** Tries mutants, one after the other, in a process that is replaced when it hangs, ends or grows. */
export class Lane {
  readonly #plan: Plan;
  readonly #root: string;
  readonly #settings: WorkerSettings;
  #worker: WorkerProcess | undefined;
  #fresh: WorkerProcess | undefined;
  #stopped = false;

  constructor(plan: Plan, root: string, settings: WorkerSettings) {
    this.#plan = plan;
    this.#root = root;
    this.#settings = settings;
  }

  /** @param files test files whose tests are meant; all without. */
  async try(mutant: Mutant, files?: ReadonlySet<string>): Promise<Outcome> {
    const isMeant = ({ test }: Reach): boolean => files?.has(this.#plan.tests[test]?.file ?? "") ?? true;
    const reaching = this.#plan.reaching(mutant).filter(isMeant);
    const loading = this.#plan.loading(mutant).filter(isMeant);
    if (reaching.length + loading.length === 0) return { mutant, status: this.#plan.unnoticed(mutant) };
    if (reaching.length > 0) {
      const outcome = await this.#ask(mutant, reaching, false);
      if (outcome.status !== "survived" || loading.length === 0) return outcome;
    }
    return this.#ask(mutant, loading, true);
  }

  /** Ends its processes; what is being tried ends with a meaningless outcome. */
  stop(): void {
    this.#stopped = true;
    this.#worker?.kill();
    this.#fresh?.kill();
  }

  /** A process that ends may have been ended from outside: only one that ends twice ends by the mutant. */
  async #ask(mutant: Mutant, reaches: readonly Reach[], fresh: boolean, again = false): Promise<Outcome> {
    const worker = fresh ? await this.#start() : await this.#current();
    if (fresh) this.#fresh = worker;
    try {
      const order = {
        kind: "try",
        mutant: mutant.id,
        tests: Uint32Array.from(reaches, ({ test }) => test),
        hitLimits: Float64Array.from(reaches, ({ hits }) => HIT_FACTOR * hits + HIT_ALLOWANCE),
        fresh,
      } as const;
      const tried = await worker.ask<Tried>(order, this.#timeoutMs(reaches));
      if (fresh || tried.rssBytes > RECYCLED_AT_BYTES) this.#drop(worker);
      return this.#outcome(mutant, tried);
    } catch (error) {
      this.#drop(worker);
      if (error instanceof WorkerTimeoutError) return { mutant, status: "timeout", error: error.message };
      if (!(error instanceof WorkerEndedError)) throw error;
      if (!again && !this.#stopped) return this.#ask(mutant, reaches, fresh, true);
      return { mutant, status: "killed", error: "the process ended" };
    }
  }

  #drop(worker: WorkerProcess): void {
    worker.kill();
    if (worker === this.#worker) this.#worker = undefined;
  }

  #outcome(mutant: Mutant, { killedBy, error, hitLimit }: Tried): Outcome {
    if (killedBy === undefined) return { mutant, status: "survived" };
    const { file = "", name = "" } = this.#plan.tests[killedBy] ?? {};
    const status = hitLimit === true ? "timeout" : "killed";
    return { mutant, status, killedBy: { file, name }, ...(error === undefined ? {} : { error }) };
  }

  #timeoutMs(reaches: readonly Reach[]): number {
    const ms = reaches.reduce((sum, { test }) => sum + (this.#plan.tests[test]?.ms ?? 0), 0);
    return TIMEOUT_MS + TIMEOUT_FACTOR * ms;
  }

  async #current(): Promise<WorkerProcess> {
    if (this.#worker === undefined || this.#worker.ended) this.#worker = await this.#start();
    return this.#worker;
  }

  async #start(): Promise<WorkerProcess> {
    const worker = new WorkerProcess(this.#root, this.#settings);
    const { setups } = this.#plan;
    const tests = this.#plan.tests.map(({ file, ordinal, full }): KnownTest => ({ file, ordinal, full }));
    await worker.ask({ kind: "know", tests, setups }, TIMEOUT_MS * 3);
    return worker;
  }
}
