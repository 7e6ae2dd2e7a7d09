import type { BenchWorkload, Rank } from "./workload.ts";

/** What came of deciding a number of requests. */
export interface Run {
  /** Processor time, of all threads. */
  readonly nanos: number;
}

/** An engine that is running with one workload's rules. */
export interface Rival {
  /** Ranks of the first `count` requests; null where the engine does not tell which rule decided but only whether it allows. */
  answers(count: number): Promise<readonly (Rank | "allow" | "deny")[]>;
  run(count: number): Promise<Run>;
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  /** Rules beyond which it is not asked: it would take too long. */
  readonly mostRules?: number;
  start(workload: BenchWorkload, folder: string): Promise<Rival>;
}
