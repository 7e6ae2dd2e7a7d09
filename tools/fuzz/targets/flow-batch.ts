import { readFlowBatch } from "../../../src/telemetry/flow-batch-reader.ts";
import { FlowBatchWriter } from "../../../src/telemetry/flow-batch-writer.ts";
import { sampleDraft } from "../../../test/telemetry/flow-arbitrary.ts";
import { type FuzzTarget, law } from "../target.ts";

/** A batch of flow records, as a proxy sends it to the log. */
export const flowBatchTarget: FuzzTarget = {
  name: "flow-batch",
  about:
    "batches of flow records: whatever the bytes, each record stored is one line of JSON with what the log needs",
  open: async () => ({
    seeds: [1, 3, 20].map(batchOf),
    words: [
      [0],
      [1],
      [2],
      [0x7f],
      [0x80],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
      [...Buffer.from('"\\u0000"')],
      [...Buffer.from('{"a":1,"a":2}')],
      [...Buffer.from("null")],
    ].map((bytes) => Buffer.from(bytes)),
    maxInputBytes: 16 * 1024,
    check: (input) => {
      const entries = readFlowBatch(input);
      if (entries === undefined) return "no batch";
      for (const entry of entries) {
        if (entry === undefined) continue;
        law(!/[\r\n]/.test(entry.line), "a record is one line");
        const record = JSON.parse(entry.line) as Record<string, unknown>;
        law(JSON.stringify(record) === entry.line, "a line names no member twice", () => entry.line);
        law(
          record.id === entry.id && record.kind === entry.kind && record.verdict === entry.verdict,
          "columns say what the line says",
          () => entry.line,
        );
        law(
          Number.isFinite(entry.timeMicros) && typeof record.time === "string",
          "a record has a time",
          () => entry.line,
        );
      }
      return `${entries.length > 0} ${entries.includes(undefined)}`;
    },
  }),
};

function batchOf(count: number): Buffer {
  const writer = new FlowBatchWriter("finance/payroll@1");
  for (let n = 0; n < count; n++) writer.add(sampleDraft(n), n);
  return writer.finish();
}
