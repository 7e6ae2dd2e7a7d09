/** What the command and its worker processes tell one another. */

/** A test, as all workers know it. */
export interface TestRecord {
  /** Relative to the repository. */
  readonly file: string;
  /** Among the tests of its file. */
  readonly ordinal: number;
  readonly name: string;
  /** Measured without a mutant, its share of set-up left out. */
  readonly ms: number;
  /** Its properties must run as often as they say, or it would fail. */
  readonly full: boolean;
  /** Mutants that it reaches. */
  readonly reached: Uint32Array;
  /** How often, each. */
  readonly hits: Uint32Array;
}

export interface Recording {
  readonly tests: readonly TestRecord[];
  /** Mutants that are reached while modules of `src` are loaded. */
  readonly atStart: Uint32Array;
  /** Mutants that are reached while a test file is loaded, by file. */
  readonly atImport: ReadonlyMap<string, Uint32Array>;
  /** `before` hooks that reach mutants, by file: run again for each. */
  readonly setups: ReadonlyMap<string, readonly number[]>;
  /** Tests that fail without any mutant, and files that cannot be loaded: they take no part. */
  readonly broken: readonly string[];
}

/** What workers need to know of a test to run it. */
export interface KnownTest {
  readonly file: string;
  readonly ordinal: number;
  readonly full: boolean;
}

export type Order =
  | {
      readonly kind: "record";
      readonly testFiles: readonly string[];
      readonly sourceFiles: readonly string[];
    }
  | {
      readonly kind: "know";
      readonly tests: readonly KnownTest[];
      readonly setups: ReadonlyMap<string, readonly number[]>;
    }
  | {
      readonly kind: "try";
      readonly mutant: number;
      /** Indexes of tests, in the order in which they run. */
      readonly tests: Uint32Array;
      /** How often each may reach the mutant. */
      readonly hitLimits: Float64Array;
      /** The mutant is on before anything is loaded. */
      readonly fresh: boolean;
    };

export interface Tried {
  /** Index of the test that failed; none where all pass. */
  readonly killedBy?: number;
  readonly error?: string;
  readonly hitLimit?: boolean;
  /** Of the process. */
  readonly rssBytes: number;
}

export interface WorkerSettings {
  /** Folder of the snapshot. */
  readonly snapshot: string;
  /** How many there are. */
  readonly mutants: number;
  readonly recording: boolean;
}
