import { readFlowBatch } from "./flow-batch-reader.ts";
import type { FlowLines } from "./flow-spill.ts";

/** Batches of records that are sent together; as lines they are only put on disk. */
export class FlowBatches implements FlowLines {
  readonly batches: readonly Buffer[];
  readonly count: number;
  readonly length: number;

  /** @param count records in all of them. */
  constructor(batches: readonly Buffer[], count: number) {
    this.batches = batches;
    this.count = count;
    this.length = batches.reduce((sum, batch) => sum + batch.length, 0);
  }

  get text(): string {
    const entries = this.batches.flatMap((batch) => readFlowBatch(batch) ?? []);
    return entries.map((entry) => (entry === undefined ? "" : `${entry.line}\n`)).join("");
  }
}
