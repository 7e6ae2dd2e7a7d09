import type { BenchRequest, BenchWorkload, Rank } from "./workload.ts";

/** An engine in JavaScript. */
export interface Engine {
  /** Not measured. */
  answer(request: BenchRequest): Rank;
  /** Makes the requests ready in the engine's own terms, with strings that nobody has seen before; not measured. */
  prepare(requests: readonly BenchRequest[]): void;
  /** Decides every prepared request once: this is measured. @returns how many are allowed. */
  run(): number;
}

export type MakeEngine = (workload: BenchWorkload) => Promise<Engine> | Engine;

/** A copy that shares no memory, as a parser of a connection's bytes would make it: its hash is not known yet. */
export function fresh(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

export function freshRequest({ principal, method, path, role, group }: BenchRequest): BenchRequest {
  return {
    principal: fresh(principal),
    method: fresh(method),
    path: fresh(path),
    role: fresh(role),
    group: fresh(group),
  };
}
