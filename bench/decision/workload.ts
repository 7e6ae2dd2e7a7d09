/** One workload's rules and the requests that are decided by them, in no engine's terms. */

export interface BenchRule {
  readonly policy: string;
  /** Place in the policy. */
  readonly index: number;
  readonly action: "ALLOW" | "DENY";
  readonly principals: readonly string[];
  readonly methods: readonly string[];
  /** Exact, or with a `*` at the end. */
  readonly paths: readonly string[];
  /** A value that this header must have. */
  readonly role?: string;
  /** A value that this claim must have. */
  readonly group?: string;
}

export interface BenchRequest {
  readonly principal: string;
  readonly method: string;
  readonly path: string;
  /** Value of the header `x-role`. */
  readonly role: string;
  /** Value of the claim `group`. */
  readonly group: string;
}

export interface BenchWorkload {
  /** In the order in which the first match counts: DENY first, each by policy and index. */
  readonly rules: readonly BenchRule[];
  readonly requests: readonly BenchRequest[];
}

/** What every engine must answer: the place of the rule that decides, or -1 where none matches, which denies. */
export type Rank = number;
