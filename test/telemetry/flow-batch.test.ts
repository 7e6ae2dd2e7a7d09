import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FlowDraft, FlowRecord } from "../../src/model/flow-record.ts";
import { FlowBatches } from "../../src/telemetry/flow-batch.ts";
import { readFlowBatch } from "../../src/telemetry/flow-batch-reader.ts";
import { FlowBatchWriter } from "../../src/telemetry/flow-batch-writer.ts";
import { decodeFlow, isFlowRecord } from "../../src/telemetry/flow-decode.ts";
import { encodeFlow } from "../../src/telemetry/flow-encode.ts";
import { flowEntry } from "../../src/telemetry/flow-row.ts";
import { draftArbitrary, sampleDraft } from "./flow-arbitrary.ts";

const INSTANCE = "finance/payroll@0011223344556677";

function batchOf(drafts: readonly FlowDraft[], firstNumber = 0): Buffer {
  const writer = new FlowBatchWriter(INSTANCE);
  for (const [n, draft] of drafts.entries()) writer.add(draft, firstNumber + n);
  return writer.finish();
}

function recordsOf(batch: Buffer): readonly unknown[] {
  return (readFlowBatch(batch) ?? assert.fail("no batch")).map((entry) =>
    entry === undefined ? undefined : JSON.parse(entry.line),
  );
}

const lineRecord = (draft: FlowDraft, number: number): FlowRecord =>
  JSON.parse(encodeFlow(draft, `${INSTANCE}:${number}`)) as FlowRecord;

/** What the common generator leaves out: identities, numbers at their edges, texts that JSON escapes. */
const fullDraft: fc.Arbitrary<FlowDraft> = fc
  .tuple(
    draftArbitrary,
    fc.record(
      {
        time: fc.constantFrom(
          "2026-01-01T00:00:00.000000001Z",
          "2026-01-01T00:00:00.999999999Z",
          "2026-01-01T01:00:00.5+01:00",
        ),
        protocol: fc.string({ unit: "binary" }),
        layer: fc.constantFrom("rbac", 'a"b\\c\n'),
        tls: fc.record({ version: fc.constant("TLSv1.3"), resumed: fc.boolean() }),
        upstream: fc.record({ ip: fc.ipV6(), localPort: fc.nat() }),
        rule: fc.option(fc.nat(), { nil: null }),
        policy: fc.option(fc.string(), { nil: null }),
        bytesSent: fc.nat({ max: Number.MAX_SAFE_INTEGER - 2 }),
        bytesReceived: fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER - 2),
        durationMs: fc.double({ noNaN: true, noDefaultInfinity: true }),
        traceId: fc.oneof(fc.stringMatching(/^[0-9a-f]{32}$/), fc.string(), fc.constant("A".repeat(32))),
        explanation: fc.array(fc.string(), { maxLength: 3 }),
        connectionId: fc.string(),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([draft, more]) => ({ ...draft, ...more }));

test("a batch read back is the records that their lines would have been", () => {
  fc.assert(
    fc.property(fc.array(fullDraft, { maxLength: 20 }), fc.maxSafeNat(), (drafts, first) => {
      const number = Math.floor(first / 2);
      const expected = drafts.map((draft, n) => lineRecord(draft, number + n));
      assert.deepEqual(recordsOf(batchOf(drafts, number)), expected);
    }),
    { numRuns: 200 },
  );
});

test("durations are told to the microsecond, by line and by batch", () => {
  for (const [durationMs, told] of [
    [3.4567891234, 3.457],
    [0.1 + 0.2, 0.3],
    [12, 12],
    [0.0004, 0],
  ] as const) {
    const draft = { ...sampleDraft(0), durationMs };
    assert.equal(lineRecord(draft, 0).durationMs, told);
    assert.deepEqual(recordsOf(batchOf([draft], 0)), [lineRecord(draft, 0)]);
  }
});

test("a batch gives the log's columns as the record's line does", () => {
  fc.assert(
    fc.property(fullDraft, (draft) => {
      const [entry] = readFlowBatch(batchOf([draft])) ?? [];
      const record = decodeFlow(entry?.line ?? "") ?? assert.fail("no record");
      assert.deepEqual({ ...entry }, flowEntry(record, entry?.line ?? ""));
    }),
    { numRuns: 200 },
  );
});

test("one writer serves batch after batch, and nothing of one is in the next", () => {
  const writer = new FlowBatchWriter(INSTANCE);
  for (const numbers of [[0, 1, 2], [3], [4, 5]]) {
    for (const n of numbers) writer.add(sampleDraft(n), n);
    assert.equal(writer.count, numbers.length);
    const batch = writer.finish();
    assert.equal(writer.count, 0);
    assert.deepEqual(
      recordsOf(batch),
      numbers.map((n) => lineRecord(sampleDraft(n), n)),
    );
  }
});

test("a batch writes what records share once", () => {
  const shared = { ...sampleDraft(0) };
  const drafts = Array.from({ length: 512 }, (_, n) => ({
    ...shared,
    path: `/accounts/${n % 8}`,
    durationMs: n / 7,
  }));
  const batch = batchOf(drafts);
  const lines = new FlowBatches([batch], 512).text;
  assert.ok(batch.length < 60 * 512, `${batch.length / 512} bytes a record`);
  assert.ok(lines.length > 5 * batch.length);
});

test("a record that cannot be written leaves the batch as it was", () => {
  const writer = new FlowBatchWriter(INSTANCE);
  writer.add(sampleDraft(0), 0);
  assert.throws(() => writer.add({ ...sampleDraft(1), rule: -1 }, 1), TypeError);
  assert.throws(
    () => writer.add({ ...sampleDraft(1), source: { port: 1n as unknown as number } }, 1),
    TypeError,
  );
  writer.add(sampleDraft(1), 1);
  assert.deepEqual(recordsOf(writer.finish()), [
    lineRecord(sampleDraft(0), 0),
    lineRecord(sampleDraft(1), 1),
  ]);
});

test("texts that are too long for the log are cut each time they come", () => {
  const path = `/${"\0".repeat(70_000)}`;
  const batch = batchOf([
    { ...sampleDraft(0), path },
    { ...sampleDraft(1), path },
  ]);
  for (const record of recordsOf(batch)) {
    assert.ok(isFlowRecord(record));
    assert.equal(record.truncated, true);
  }
});

test("no bytes make the reader throw, nor the log take what is no record", () => {
  const whole = batchOf([0, 1, 2].map((n) => ({ ...sampleDraft(n), explanation: ["why"], rule: null })));
  const damaged = fc
    .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    });
  const cut = fc.nat(whole.length - 1).map((length) => whole.subarray(0, length));
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from([1, ...bytes]));
  fc.assert(
    fc.property(fc.oneof(damaged, cut, noise), (bytes) => {
      for (const entry of readFlowBatch(bytes) ?? []) {
        if (entry === undefined) continue;
        const record: unknown = JSON.parse(entry.line);
        assert.ok(isFlowRecord(record), entry.line);
        assert.deepEqual({ ...entry }, flowEntry(record, entry.line));
        assert.equal(JSON.stringify(record), entry.line);
      }
    }),
    { numRuns: 3000 },
  );
});

test("what a small batch grows to is bounded", () => {
  const writer = new FlowBatchWriter(INSTANCE);
  const source = { workload: "x".repeat(60_000) };
  for (let n = 0; n < 600; n++) writer.add({ ...sampleDraft(n), source }, n);
  assert.equal(readFlowBatch(writer.finish()), undefined);
});
