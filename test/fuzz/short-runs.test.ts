import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../../tools/fuzz/fuzz-run.ts";
import { TARGETS } from "../../tools/fuzz/target-list.ts";

const SEED = 20_261_122;
/** How much longer than usual. */
const TIMES = Number(process.env.FUZZ_TIMES ?? 1);
/** By target: some tenths of a second's worth. */
const INPUTS: Readonly<Record<string, number>> = {
  yaml: 100,
  hello: 800,
  jwt: 500,
  http: 1250,
  "http-server": 1250,
  http2: 1000,
  path: 600,
};
const OTHERS = 3000;

for (const target of TARGETS) {
  test(`fuzzing ${target.name} for a moment finds nothing (seed ${SEED}): ${target.about}`, async () => {
    const open = await target.open();
    const maxInputs = TIMES * (INPUTS[target.name] ?? OTHERS);
    const { findings, outcomes } = await fuzz(open, { seed: SEED, maxInputs, maxMs: 60_000 });
    await open.close?.();
    assert.deepEqual(
      findings.map(({ law, message, input }) => `${law}: ${message} ${input.toString("base64")}`),
      [],
    );
    assert.ok(outcomes.size > 2, "inputs reach several kinds of outcome");
  });
}
