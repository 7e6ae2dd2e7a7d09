/** Stands in for `fast-check` under mutation: fewer runs, and no shrinking, since the first failure says all. */
import fc from "fast-check";

/** Runs of one property; those that need more to pass (they count what they saw) keep their own number. */
const RUNS = 25;

let bounded = true;

/** Whether properties run less often than they say. */
export function boundRuns(bound: boolean): void {
  bounded = bound;
}

function assert<T>(
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  parameters: fc.Parameters<T> = {},
): unknown {
  const asked = parameters.numRuns ?? 100;
  const numRuns = bounded ? Math.min(asked, RUNS) : asked;
  return fc.assert(property as fc.IProperty<T>, { seed: 1, ...parameters, numRuns, endOnFailure: true });
}

export default { ...fc, assert };
