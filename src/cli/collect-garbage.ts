import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Lets go of what a large load has left behind, before work that allocates as much again: V8 would do both on top of each other. Of 10,000 workloads
 * audited the peak is 420 MB so, and between 410 and 520 without (docs/performance.md); it costs no processor time that can be measured.
 */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") collect();
}
