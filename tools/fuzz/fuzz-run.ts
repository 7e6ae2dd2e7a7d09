import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { minimise } from "./minimise.ts";
import { mutant } from "./mutate.ts";
import { Random } from "./random.ts";
import { BrokenLaw, type OpenTarget } from "./target.ts";

/** An input that breaks a law, as small as it could be made. */
export interface FuzzFinding {
  readonly law: string;
  readonly message: string;
  readonly input: Buffer;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Whichever comes first ends the run. */
  readonly maxInputs: number;
  readonly maxMs: number;
  /** Called before an input is checked: should it never come back, somebody else knows it. */
  readonly onInput?: (input: Buffer) => void;
  readonly onFinding?: (finding: FuzzFinding) => void;
  /** Whether to look at the memory, which takes garbage collections. */
  readonly watchMemory?: boolean;
}

export interface FuzzSummary {
  readonly inputs: number;
  readonly findings: readonly FuzzFinding[];
  /** How many inputs had which outcome. */
  readonly outcomes: ReadonlyMap<string, number>;
  readonly slowestMs: number;
  /** Live heap after garbage collection, MiB: soon after the start, and at the end. */
  readonly heapMiB: readonly [number, number] | undefined;
}

/** More processor time for one input is a finding. */
export const LONGEST_CPU_MS = 1000;
/** More growth of the live heap from a tenth of the run to its end is one. */
const MOST_GROWTH_MIB = 48;
const MOST_KEPT = 2000;
/** The inputs kept for one kind of outcome: the second and third may be of another shape. */
const KEPT_EACH = 3;

/** Checks inputs made of the target's seeds until time or number is up. Each law is reported once. */
export async function fuzz(target: OpenTarget, options: FuzzOptions): Promise<FuzzSummary> {
  const run = new FuzzRun(target, options);
  return await run.all();
}

class FuzzRun {
  readonly #target: OpenTarget;
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #corpus: Buffer[];
  readonly #findings = new Map<string, FuzzFinding>();
  readonly #outcomes = new Map<string, number>();
  #inputs = 0;
  #slowestMs = 0;

  constructor(target: OpenTarget, options: FuzzOptions) {
    this.#target = target;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#corpus = [...target.seeds];
  }

  async all(): Promise<FuzzSummary> {
    const { maxInputs, maxMs, watchMemory } = this.#options;
    const start = performance.now();
    let firstHeap: number | undefined;
    for (const seed of this.#target.seeds) await this.#one(seed);
    while (this.#inputs < maxInputs && performance.now() - start < maxMs) {
      if (watchMemory === true && firstHeap === undefined && performance.now() - start > maxMs / 10)
        firstHeap = liveHeapMiB();
      await this.#one(mutant(this.#random, { ...this.#target, corpus: this.#corpus }));
      // Timers and sockets get their turn, and whoever watches gets messages.
      if (this.#inputs % 64 === 0) await nextTurn();
    }
    const heapMiB: [number, number] | undefined =
      firstHeap === undefined ? undefined : [firstHeap, liveHeapMiB()];
    if (heapMiB !== undefined && heapMiB[1] - heapMiB[0] > MOST_GROWTH_MIB)
      this.#found({
        law: "memory stays bounded",
        message: `the live heap grew from ${heapMiB.join(" to ")} MiB`,
        input: Buffer.alloc(0),
      });
    return {
      inputs: this.#inputs,
      findings: [...this.#findings.values()],
      outcomes: this.#outcomes,
      slowestMs: this.#slowestMs,
      heapMiB,
    };
  }

  async #one(input: Buffer): Promise<void> {
    this.#inputs++;
    this.#options.onInput?.(input);
    const before = process.threadCpuUsage();
    const broken = await brokenBy(this.#target, input);
    const { user, system } = process.threadCpuUsage(before);
    const cpuMs = (user + system) / 1000;
    this.#slowestMs = Math.max(this.#slowestMs, cpuMs);
    if (cpuMs > LONGEST_CPU_MS) {
      const message = `it took ${Math.round(cpuMs)} ms of processor time`;
      this.#found({ law: "no input takes long", message, input });
    } else if (typeof broken === "string") this.#keep(broken, input);
    else await this.#report(broken, input);
  }

  #keep(outcome: string, input: Buffer): void {
    const times = (this.#outcomes.get(outcome) ?? 0) + 1;
    this.#outcomes.set(outcome, times);
    if (times <= KEPT_EACH && this.#corpus.length < MOST_KEPT) this.#corpus.push(Buffer.from(input));
  }

  async #report(broken: BrokenLaw, input: Buffer): Promise<void> {
    this.#outcomes.set("(finding)", (this.#outcomes.get("(finding)") ?? 0) + 1);
    if (this.#findings.has(broken.law)) return;
    const least = await minimise(input, async (smaller) => {
      const again = await brokenBy(this.#target, smaller);
      return typeof again !== "string" && again.law === broken.law;
    });
    const again = await brokenBy(this.#target, least);
    const message = typeof again === "string" ? broken.message : again.message;
    this.#found({ law: broken.law, message, input: least });
  }

  #found(finding: FuzzFinding): void {
    if (this.#findings.has(finding.law)) return;
    this.#findings.set(finding.law, finding);
    this.#options.onFinding?.(finding);
  }
}

/** The law that the input breaks, or its outcome. An exception that no check expects is a broken law too. */
export async function brokenBy(target: OpenTarget, input: Buffer): Promise<BrokenLaw | string> {
  try {
    return await target.check(input);
  } catch (error) {
    if (error instanceof BrokenLaw) return error;
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    const frame = /\n\s+at (?:.*\()?.*?([\w-]+\.ts):\d+/.exec(stack ?? "")?.[1] ?? "";
    return new BrokenLaw(`no exception (${name} in ${frame})`, `${message}\n${stack}`);
  }
}

function liveHeapMiB(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return Math.round((process.memoryUsage().heapUsed / 2 ** 20) * 10) / 10;
}
