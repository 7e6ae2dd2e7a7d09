import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";

/** Another thread's or the inspector's bytes may fall into a round, never into all of nine; an object per call would show 16 or more. */
const BUDGET_BYTES = 1;

test("decideRequest(), decideConnection() and authorizeRequest() allocate nothing per decision", () => {
  const probe = resolve(import.meta.dirname, "decision-allocation-probe.ts");
  const run = spawnSync(process.execPath, ["--expose-gc", "--no-concurrent-recompilation", probe], {
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  const measured = JSON.parse(run.stdout) as Record<string, number>;
  assert.deepEqual(Object.keys(measured).sort(), [
    "authorizeRequest",
    "control",
    "decideAmongMany",
    "decideConnection",
    "decideRequest",
  ]);
  for (const [name, bytes] of Object.entries(measured)) {
    if (name === "control") assert.ok(bytes > 8, `the probe sees no allocation: ${bytes}`);
    else assert.ok(bytes < BUDGET_BYTES, `${name}: ${bytes} bytes`);
  }
});
