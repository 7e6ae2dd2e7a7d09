/** The graph of one compromise, in Graphviz' language: what is gained by full lines, what is reached by dashed ones. */
import type { BlastReport } from "../../analysis/blast/report.ts";
import { plain } from "./style.ts";

export function blastDot(reports: readonly BlastReport[]): string {
  const lines = reports.flatMap((report) => [
    `  ${quoted(report.component)} [style=filled];`,
    ...report.gains.map(({ from, to }) => `  ${quoted(from)} -> ${quoted(to)};`),
    ...[...report.reaches, ...report.further].map(({ from, to, hop, as }) => {
      const source = from === null || hop === 1 ? report.component : `workload/${from}`;
      const label = `hop ${hop}${as === null ? "" : `, as ${as}`}`;
      return `  ${quoted(source)} -> ${quoted(`workload/${to}`)} [style=dashed, label=${quoted(label)}];`;
    }),
  ]);
  return `digraph blast {\n  rankdir=LR;\n  node [shape=box];\n${lines.join("\n")}\n}\n`;
}

function quoted(text: string): string {
  return `"${plain(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
