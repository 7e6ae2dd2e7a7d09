/** Runs the comparison in a private network and collects what it tells. */
import { join } from "node:path";
import { runInPrivateNetwork } from "../corpus/private-network.ts";
import type { Disagreement } from "./run-case.ts";

export type DifferentialEvent =
  | ({ readonly kind: "difference" } & Disagreement)
  | { readonly kind: "progress" | "end"; readonly cases: number; readonly requests: number }
  | {
      readonly kind: "disagreement";
      readonly seed: number;
      /** fast-check's way to the shrunk case: with the seed it is made again. */
      readonly path: string;
      readonly counterexample: unknown;
      readonly error: string;
    };

export interface DifferentialResult {
  readonly cases: number;
  readonly requests: number;
  /** How many were told one by one. */
  readonly differences: number;
  readonly disagreement: Extract<DifferentialEvent, { kind: "disagreement" }> | undefined;
}

/**
 * Needs root and Envoy (envoyBinary).
 * @param requests at least so many, unless a disagreement is found before.
 * @param show `first`: a disagreement is made small and ends the run. `all`: every difference is an event. `paths`: no random
 *   cases but the spellings of paths (path-cases.ts), every difference an event.
 */
export async function runDifferential(
  seed: number,
  requests: number,
  onEvent: (event: DifferentialEvent) => void = () => {},
  show: "first" | "all" | "paths" = "first",
): Promise<DifferentialResult> {
  let result: DifferentialResult = { cases: 0, requests: 0, differences: 0, disagreement: undefined };
  await runInPrivateNetwork(
    join(import.meta.dirname, "worker.ts"),
    [String(seed), String(requests), show],
    (line) => {
      const event = JSON.parse(line) as DifferentialEvent;
      onEvent(event);
      if (event.kind === "disagreement") result = { ...result, disagreement: event };
      else if (event.kind === "difference") result = { ...result, differences: result.differences + 1 };
      else result = { ...result, cases: event.cases, requests: event.requests };
    },
  );
  return result;
}
