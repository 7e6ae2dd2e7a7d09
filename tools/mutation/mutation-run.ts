import { join } from "node:path";
import { hashOf, ImportGraph } from "./imports.ts";
import { type Instrumented, instrument, type Mutant } from "./instrument.ts";
import { isLeftOut } from "./left-out.ts";
import type { Outcome } from "./outcome.ts";
import type { Recording } from "./protocol.ts";
import { ResultCache } from "./result-cache.ts";
import type { Snapshot } from "./snapshot.ts";
import { Lane, Plan } from "./try-mutants.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Measures garbage collection in a process of its own, which has no mutants. */
const NOT_IN_PROCESS: ReadonlySet<string> = new Set(["test/policy/decision-allocation.test.ts"]);

const RECORDING_TIMEOUT_MS = 20 * 60_000;

export interface RunOptions {
  readonly files: readonly string[];
  /** Test files that take part. */
  readonly tests: readonly string[];
  readonly processes: number;
  /** Believe nothing of earlier runs. */
  readonly force: boolean;
  /** Try survivors with every test that reaches them, not only with some of the recorded cases. */
  readonly thorough: boolean;
  /** Share of the mutants to try, in percent: always the same ones. */
  readonly sample: number;
  readonly onProgress: (progress: Progress) => void;
}

export interface Progress {
  readonly phase: "recording" | "trying";
  readonly done: number;
  readonly all: number;
  readonly survived: number;
}

/** One run: instruments, records what the tests reach, tries every mutant that has no outcome yet. */
export class MutationRun {
  readonly #snapshot: Snapshot;
  readonly #options: RunOptions;
  readonly #outcomes = new Map<number, Outcome>();
  /** Test files that have changed since a mutant survived all others. */
  readonly #changedTests = new Map<number, ReadonlySet<string>>();
  #broken: readonly string[] = [];
  #recorder: WorkerProcess | undefined;
  #lanes: readonly Lane[] = [];
  #stopped = false;
  #survived = 0;
  #save = (): void => undefined;

  constructor(snapshot: Snapshot, options: RunOptions) {
    this.#snapshot = snapshot;
    this.#options = options;
  }

  get outcomes(): readonly Outcome[] {
    return [...this.#outcomes.values()];
  }

  /** Tests that fail without a mutant: they took no part. */
  get broken(): readonly string[] {
    return this.#broken;
  }

  /** Ends all processes; what was tried is kept. */
  stop(): void {
    this.#stopped = true;
    this.#recorder?.kill();
    for (const lane of this.#lanes) lane.stop();
    this.#save();
  }

  async run(): Promise<void> {
    const { files, force, thorough, sample } = this.#options;
    const snapshot = this.#snapshot;
    const sources = new Map(files.map((file) => [file, snapshot.read(file)]));
    const testFiles = this.#options.tests.filter((file) => !NOT_IN_PROCESS.has(file));
    const graph = new ImportGraph((file) => snapshot.read(file));
    const cache = new ResultCache(join(snapshot.root, ".cache/mutation/results"), graph, testFiles, thorough);
    for (const test of testFiles) graph.fingerprint(test);
    const { code, mutants } = await instrument(sources);
    const byFile = Map.groupBy(mutants, ({ file }) => file);
    for (const [file, own] of byFile) {
      const { outcomes, changedTests } = cache.read(file, sources.get(file) ?? "", own);
      const isKept = (mutant: Mutant): boolean => !force || !isSampled(mutant, sample);
      for (const [id, outcome] of outcomes) if (isKept(outcome.mutant)) this.#outcomes.set(id, outcome);
      if (!force) for (const [id, files] of changedTests) this.#changedTests.set(id, files);
    }
    for (const mutant of mutants)
      if (isLeftOut(mutant)) this.#outcomes.set(mutant.id, { mutant, status: "left-out" });
    const due = mutants.filter((mutant) => !this.#outcomes.has(mutant.id) && isSampled(mutant, sample));
    if (due.length === 0) return;
    this.#save = () => {
      for (const [file, own] of byFile) {
        const tried = own.flatMap(({ id }) => this.#outcomes.get(id) ?? []);
        const untried = own.filter(({ id }) => !this.#outcomes.has(id));
        const isBroken = (test: string): boolean => this.#broken.some((text) => text.startsWith(`${test}:`));
        cache.write(file, sources.get(file) ?? "", tried, untried, isBroken);
      }
    };
    for (const [file, text] of code) snapshot.write(file, text);
    await this.#try(due, { code, mutants }, testFiles, graph);
    this.#save();
  }

  async #try(
    due: readonly Mutant[],
    { mutants }: Instrumented,
    testFiles: readonly string[],
    graph: ImportGraph,
  ): Promise<void> {
    // The instrumenter leaves gaps among its numbers.
    const fileOf = new Map(mutants.map(({ id, file }) => [id, file]));
    const end = Math.max(-1, ...fileOf.keys()) + 1;
    const settings = { snapshot: this.#snapshot.folder, mutants: end, recording: false };
    const { root } = this.#snapshot;
    this.#tell("recording", 0, due.length);
    this.#recorder = new WorkerProcess(root, { ...settings, recording: true });
    const order = { kind: "record", testFiles, sourceFiles: this.#options.files } as const;
    const recording = await this.#recorder.ask<Recording>(order, RECORDING_TIMEOUT_MS);
    this.#recorder.kill();
    this.#broken = recording.broken;
    const plan = new Plan(recording, graph, (id) => fileOf.get(id), this.#options.thorough);
    this.#lanes = Array.from({ length: this.#options.processes }, () => new Lane(plan, root, settings));
    const queue = due.values();
    let done = 0;
    await Promise.all(
      this.#lanes.map(async (lane) => {
        for (const mutant of queue) {
          if (this.#stopped) return;
          const outcome = await lane.try(mutant, this.#changedTests.get(mutant.id));
          if (this.#stopped) return;
          this.#outcomes.set(mutant.id, { ...outcome, thorough: this.#options.thorough });
          if (outcome.status === "survived") this.#survived += 1;
          this.#tell("trying", ++done, due.length);
        }
      }),
    );
    for (const lane of this.#lanes) lane.stop();
  }

  #tell(phase: Progress["phase"], done: number, all: number): void {
    this.#options.onProgress({ phase, done, all, survived: this.#survived });
  }
}

function isSampled({ file, operator, line, column, replacement }: Mutant, percent: number): boolean {
  const hash = hashOf([file, operator, line, column, replacement].join("\0"));
  return Number.parseInt(hash.slice(0, 8), 16) < (percent / 100) * 2 ** 32;
}
