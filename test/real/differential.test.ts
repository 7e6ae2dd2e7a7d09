/** Who is right when two programs decide differently? Envoy. So it is asked, beside everything of ours that decides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runDifferential } from "../../tools/differential/run-differential.ts";

const REQUESTS = 5000;
/** Others by `DIFFERENTIAL_SEED=N`, or longer by `npm run differential -- --seed N --requests N`. */
const SEED = Number(process.env.DIFFERENTIAL_SEED ?? 20_261_122);

test(`random requests to random meshes: the compiled policy, the reference, live Envoy and our live proxy answer the same (seed ${SEED})`, async (t) => {
  const { requests, cases, disagreement } = await runDifferential(SEED, REQUESTS);
  t.diagnostic(`${requests} requests to ${cases} meshes`);
  assert.equal(disagreement?.error, undefined, JSON.stringify(disagreement?.counterexample));
  assert.ok(requests >= REQUESTS);
});

test("every byte and every trick in a path is read the same by all, under each normalisation", async (t) => {
  const different: unknown[] = [];
  const { requests, differences } = await runDifferential(
    SEED,
    0,
    (event) => {
      if (event.kind === "difference") different.push(event);
    },
    "paths",
  );
  t.diagnostic(`${requests} requests`);
  assert.deepEqual(different.slice(0, 5), []);
  assert.equal(differences, 0);
  assert.ok(requests > 4 * 256);
});
