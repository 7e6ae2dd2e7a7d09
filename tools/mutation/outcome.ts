import type { Mutant } from "./instrument.ts";

/**
 * `killed`: a test failed. `timeout`: it ran without end. `survived`: every test that reaches it passed.
 * `unreached`: no test reaches it. `left-out`: not counted (left-out.ts).
 */
export type Status = "killed" | "timeout" | "survived" | "unreached" | "left-out";

export interface Outcome {
  readonly mutant: Mutant;
  readonly status: Status;
  /** File and name of the test that failed. */
  readonly killedBy?: { readonly file: string; readonly name: string };
  readonly error?: string;
  /** A survivor of every test that reaches it, not of some of the recorded cases only. */
  readonly thorough?: boolean;
}
