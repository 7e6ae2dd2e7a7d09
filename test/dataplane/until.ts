import assert from "node:assert/strict";

/** Waits for a condition rather than for a time. */
export async function until(
  condition: () => boolean,
  what = "the condition",
  timeoutMs = 5000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition(), `${what} did not come true in ${timeoutMs} ms`);
}
