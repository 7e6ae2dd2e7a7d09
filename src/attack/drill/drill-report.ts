/** What a drill does, in order. */
export type DrillStepName = "leak" | "use" | "detect" | "alert" | "revoke" | "cut" | "rotate" | "verify";

/** One step as it went. */
export interface DrillStep {
  readonly step: DrillStepName;
  readonly ok: boolean;
  /** Milliseconds that it took, and from when the attacker went to work to its end (0 before that). */
  readonly tookMs: number;
  readonly sinceUseMs: number;
  /** For a person. */
  readonly happened: string;
}

export interface DrillReport {
  readonly drill: "key-leak";
  /** RFC 3339. */
  readonly startedAt: string;
  readonly workload: string;
  readonly identity: string;
  /** Of the certificate that was leaked, upper-case hexadecimal. */
  readonly serial: string;
  readonly target: string;
  readonly steps: readonly DrillStep[];
  /** Every step went as it should. */
  readonly passed: boolean;
  /** What could not be put back; empty after a drill that left nothing behind. */
  readonly leftBehind: readonly string[];
}
