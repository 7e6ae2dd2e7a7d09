import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nowRfc3339Nanos, systemNanos } from "../../src/model/flow-record.ts";
import { durationMicros, microsRfc3339, rfc3339Micros } from "../../src/telemetry/flow-time.ts";

test("nowRfc3339Nanos() prints all nine digits of the clock", () => {
  assert.equal(
    nowRfc3339Nanos(() => 1_767_225_600_000_000_007n),
    "2026-01-01T00:00:00.000000007Z",
  );
  assert.equal(
    nowRfc3339Nanos(() => 1_767_225_599_999_999_999n),
    "2025-12-31T23:59:59.999999999Z",
  );
});

test("nowRfc3339Nanos() agrees with Date on the second, whichever second was asked before", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), (nanos) => {
      const text = nowRfc3339Nanos(() => nanos);
      assert.equal(text.slice(0, 23), new Date(Number(nanos / 1_000_000n)).toISOString().slice(0, 23));
      assert.equal(BigInt(rfc3339Micros(text) ?? -1), nanos / 1000n);
    }),
    { numRuns: 200 },
  );
});

test("systemNanos() is the wall clock to within 10 ms and does not run backwards", () => {
  let before = systemNanos();
  assert.ok(Math.abs(Number(before / 1_000_000n) - Date.now()) <= 10);
  for (let i = 0; i < 1000; i++) {
    const now = systemNanos();
    assert.ok(now >= before);
    before = now;
  }
});

test("nowRfc3339Nanos() without a clock is systemNanos()", () => {
  for (let i = 0; i < 100; i++) {
    const before = systemNanos();
    const text = nowRfc3339Nanos();
    const after = systemNanos();
    assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    const micros = BigInt(rfc3339Micros(text) ?? -1);
    assert.ok(micros >= before / 1000n && micros <= after / 1000n, `${before} ${text} ${after}`);
  }
});

test("microsRfc3339() and rfc3339Micros() are inverse", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000_000_000 }), (micros) => {
      assert.equal(rfc3339Micros(microsRfc3339(micros)), micros);
    }),
    { numRuns: 200 },
  );
});

test("rfc3339Micros() reads offsets and refuses what is no time", () => {
  assert.equal(rfc3339Micros("2026-01-01T01:00:00.5+01:00"), 1_767_225_600_500_000);
  for (const bad of [
    "",
    "now",
    "2026-01-01",
    "2026-13-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00.Z",
  ]) {
    assert.equal(rfc3339Micros(bad), undefined, bad);
  }
});

test("durationMicros() adds the parts and refuses anything else", () => {
  assert.equal(durationMicros("1h30m"), 5400e6);
  assert.equal(durationMicros("500ms"), 500e3);
  for (const bad of ["", "5", "m5", "5 m", "-5m", "5w"]) assert.equal(durationMicros(bad), undefined, bad);
});
