import type { AccessRequest } from "../../../src/policy/path/access-request.ts";

/** What came of one pair of meshes. */
export interface PairReport {
  readonly changes: number;
  /** Witnesses of `diff` that were sent, before and after. */
  readonly replayed: number;
  /** To a port that the pods do not have, or by IPv6. */
  readonly notSent: number;
  /** Witnesses of `verify` that were sent. */
  readonly verified: number;
  readonly notAnalysed: number;
  /** Of each witness sent: protocol, how the caller comes, and whether with a token. */
  readonly kinds: readonly string[];
  readonly wrong: readonly Wrong[];
}

/** A request that the running mesh answered otherwise. */
export interface Wrong {
  readonly when: string;
  readonly request: AccessRequest;
  readonly expected: boolean;
  readonly seen: string;
}
