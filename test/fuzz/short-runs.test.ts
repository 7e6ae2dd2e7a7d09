import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../../tools/fuzz/fuzz-run.ts";
import { TARGETS } from "../../tools/fuzz/target-list.ts";

const SEED = 20_261_122;
/** By target: some tenths of a second's worth. */
const INPUTS: Readonly<Record<string, number>> = {
  yaml: 200,
  hello: 1500,
  jwt: 1000,
  http: 2500,
  "http-server": 2500,
  http2: 2000,
  path: 1200,
};
const OTHERS = 6000;

for (const target of TARGETS) {
  test(`fuzzing ${target.name} for a moment finds nothing (seed ${SEED}): ${target.about}`, async () => {
    const open = await target.open();
    const maxInputs = INPUTS[target.name] ?? OTHERS;
    const { findings, outcomes } = await fuzz(open, { seed: SEED, maxInputs, maxMs: 60_000 });
    await open.close?.();
    assert.deepEqual(
      findings.map(({ law, message, input }) => `${law}: ${message} ${input.toString("base64")}`),
      [],
    );
    assert.ok(outcomes.size > 2, "inputs reach several kinds of outcome");
  });
}
