import { flowLineWidths, formatFlowLine } from "../../telemetry/flow-format.ts";
import type { StoredFlow } from "../../telemetry/flow-query.ts";
import { isColoured } from "./style.ts";

/** Prints records as lines of text, or each as the JSON that is stored. */
export function flowPrinter(
  json: boolean,
  stream: NodeJS.WriteStream,
): (flows: readonly StoredFlow[]) => void {
  const colour = isColoured(stream);
  return (flows) => {
    if (json) {
      stream.write(flows.map((flow) => `${flow.json}\n`).join(""));
      return;
    }
    const records = flows.map(({ record }) => record);
    const widths = flowLineWidths(records);
    stream.write(records.map((record) => `${formatFlowLine(record, { colour, ...widths })}\n`).join(""));
  };
}
