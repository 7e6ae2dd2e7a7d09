import { FlowBatches } from "../telemetry/flow-batch.ts";
import type { FlowLines } from "../telemetry/flow-spill.ts";

/** `flows`: batches as base64, which JSON need not escape; lines as the one array that a message can hold: none has a newline of its own. */
export function flowParams(lines: FlowLines): string {
  if (lines instanceof FlowBatches)
    return JSON.stringify({ batches: lines.batches.map((batch) => batch.toString("base64")) });
  return `{"records":[${lines.text.trimEnd().replaceAll("\n", ",")}]}`;
}
