import type { FlowRecord } from "../../model/flow-record.ts";
import { flowLineWidths, formatFlowLine } from "../../telemetry/flow-format.ts";
import type { StoredFlow } from "../../telemetry/flow-query.ts";
import { isColoured, plain } from "./style.ts";

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
    const text = (record: FlowRecord): string =>
      `${formatFlowLine(record, { colour, ...widths })}\n${whyLines(record)}`;
    stream.write(records.map(text).join(""));
  };
}

/** Under a refusal its explanation, in the words of `bulwark can`. */
function whyLines({ verdict, explanation = [] }: FlowRecord): string {
  return verdict === "allow" ? "" : explanation.map((line) => `    ${plain(line)}\n`).join("");
}
