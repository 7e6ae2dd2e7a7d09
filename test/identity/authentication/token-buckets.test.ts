import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBuckets } from "../../../src/identity/authentication/token-buckets.ts";
import { SEED } from "../mesh-fixture.ts";

test("a bucket gives its burst, then its rate, whatever the rhythm", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 }), (pauses) => {
      let nowMs = 0;
      const buckets = new TokenBuckets({ ratePerSecond: 2, burst: 5, clock: () => nowMs });
      let allowed = 0;
      for (const pause of pauses) {
        nowMs += pause;
        if (buckets.take("a").allowed) allowed += 1;
      }
      assert.ok(allowed <= 5 + (nowMs / 1000) * 2 + 1e-6);
      assert.ok(allowed >= Math.min(pauses.length, 5));
    }),
    { seed: SEED, numRuns: 200 },
  );
});

test("buckets of two keys know nothing of each other", () => {
  const buckets = new TokenBuckets({ ratePerSecond: 1, burst: 1, clock: () => 0 });
  assert.equal(buckets.take("a").allowed, true);
  assert.equal(buckets.take("a").allowed, false);
  assert.equal(buckets.take("b").allowed, true);
});

test("a flood is told of once a second, with the number of refusals that were not", () => {
  let nowMs = 0;
  const buckets = new TokenBuckets({ ratePerSecond: 0.001, burst: 1, clock: () => nowMs });
  buckets.take("a");
  assert.deepEqual(buckets.take("a"), { allowed: false, tell: true, untold: 0 });
  for (let i = 0; i < 9; i++)
    assert.partialDeepStrictEqual(buckets.take("a"), { allowed: false, tell: false });
  nowMs = 1000;
  assert.deepEqual(buckets.take("a"), { allowed: false, tell: true, untold: 9 });
});

test("no more keys are remembered than there is room for; the one that was quiet for longest goes", () => {
  const buckets = new TokenBuckets({ ratePerSecond: 0.001, burst: 1, capacity: 2, clock: () => 0 });
  for (const key of ["a", "b", "a", "c"]) buckets.take(key);
  assert.equal(buckets.size, 2);
  assert.equal(buckets.take("a").allowed, false);
});
