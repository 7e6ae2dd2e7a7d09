/** One number for a radius, to compare and to watch: the share of the mesh that it costs. */
import type { RadiusCounts } from "./radius.ts";

/** What a workload counts that is controlled, reached at one hop, or only further on. */
export const WEIGHTS = { controlled: 1, reached: 1 / 4, further: 1 / 16 } as const;

/**
 * From 0 to 100: `100 × (controlled + reached/4 + further/16) / workloads`.
 * @param workloads of the whole mesh.
 */
export function scoreOf({ controlled, reached, further }: RadiusCounts, workloads: number): number {
  if (workloads === 0) return 0;
  const weighed = controlled * WEIGHTS.controlled + reached * WEIGHTS.reached + further * WEIGHTS.further;
  return (100 * weighed) / workloads;
}

/** Two decimals are what a report shows. */
export function scoreText(score: number): string {
  return score.toFixed(2);
}
