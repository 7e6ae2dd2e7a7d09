/** A step of a compromise as a line for a person. */
import type { GainStep, ReachStep } from "../../analysis/blast/report.ts";

export function gainText({ from, to, why }: GainStep): string {
  return `${from} → ${to}: ${why}`;
}

/** What shows a request; none where there is none. */
export function exampleLines({ witness }: ReachStep): readonly string[] {
  return witness === undefined ? [] : [`for example: ${JSON.stringify(witness)}`];
}

const WAYS = {
  direct: "",
  hbone: " through its tunnel port",
  clear: " in clear",
  waypoint: " through its waypoint",
} as const;

export function reachText({ from, as, to, port, way }: ReachStep): string {
  const who = as === null ? "without an identity" : `as ${as}`;
  return `${to}:${port}${WAYS[way]}, from ${from ?? "anywhere"} ${who}`;
}
