/** What an earlier answer of `blast` and today's differ in. Of a mesh by the counts of each component, of one component by name. */
import type { HoldingId } from "../component.ts";
import type { BlastOverview, ComponentScore } from "../overview.ts";
import type { RadiusCounts } from "../radius.ts";
import type { BlastReport, GainStep, ReachStep } from "../report.ts";

export interface BeforeAndNow<T> {
  readonly before: T;
  readonly now: T;
}

/** What of an overview is compared. */
export type WatchedOverview = Pick<BlastOverview, "components" | "meshScore" | "workloads">;

/** What of one component's report is compared. */
export type WatchedReport = Pick<
  BlastReport,
  | "component"
  | "score"
  | "counts"
  | "workloads"
  | "controls"
  | "gains"
  | "reaches"
  | "further"
  | "mayAskFor"
  | "externalHosts"
> & { readonly position: Pick<BlastReport["position"], "traffic"> };

export interface ComponentChange {
  readonly component: HoldingId;
  readonly change: "new" | "grown" | "shrunk" | "gone";
  /** Null of one that is new. */
  readonly before: ComponentScore | null;
  /** Null of one that is gone. */
  readonly now: ComponentScore | null;
}

interface Compared {
  readonly score: BeforeAndNow<number>;
  readonly workloads: BeforeAndNow<number>;
  /** Why it cannot be told whether anything has grown, be it in the one answer or the other. */
  readonly unclear: readonly string[];
}

export interface OverviewComparison extends Compared {
  readonly kind: "overview";
  /** New ones first, then grown, shrunk, gone; each by what they cost, then by name. Those that stay are left out. */
  readonly components: readonly ComponentChange[];
}

/** One thing that is had now and was not, or the other way round. */
export type Difference =
  | { readonly what: "gains"; readonly name: HoldingId; readonly step: GainStep }
  | {
      readonly what: "workload";
      /** `namespace/name` */
      readonly name: string;
      /** 0: controlled. From 1: reached at that hop. Null: neither. */
      readonly hop: BeforeAndNow<number | null>;
      /** Of that side on which it is nearer; absent of what is controlled. */
      readonly step?: ReachStep;
    }
  | {
      /** Of whom the traffic is seen, for whom the CA signs (`any identity`), what is reached outside. */
      readonly what: "traffic" | "signs" | "hosts";
      readonly name: string;
    };

export interface ReportComparison extends Compared {
  readonly kind: "component";
  readonly component: HoldingId;
  readonly counts: BeforeAndNow<RadiusCounts>;
  /** What is new, or nearer. */
  readonly grown: readonly Difference[];
  /** What is gone, or farther away. */
  readonly shrunk: readonly Difference[];
}

export type BlastComparison = OverviewComparison | ReportComparison;

/** Whether a compromise yields or reaches anything that it did not: also of a component that there was not. */
export function isGrown(comparison: BlastComparison): boolean {
  return comparison.kind === "component"
    ? comparison.grown.length > 0
    : comparison.components.some(({ change }) => change === "grown" || change === "new");
}

/** Sums of the same scores in another order differ by less. */
const ROUNDING = 1e-9;

export function isScoreHigher({ score }: BlastComparison): boolean {
  return score.now > score.before + ROUNDING;
}

/** In the order of UTF-16 code units, which is the same on every machine. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
