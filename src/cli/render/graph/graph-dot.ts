/** A graph in Graphviz' language (https://graphviz.org/doc/info/lang.html). */
import { plain } from "../style.ts";
import {
  type DrawnGraph,
  type EdgeKind,
  FILLS,
  type GraphEdge,
  type GraphNode,
  groupsOf,
} from "./drawn-graph.ts";

export function* dotOf({ name, title, nodes, edges }: DrawnGraph): Generator<string> {
  yield `digraph ${name} {\n  rankdir=LR;\n  node [shape=box];\n`;
  if (title !== undefined) yield `  label=${dotText(title)};\n`;
  const groups = groupsOf(nodes);
  let at = 0;
  for (const [group, own] of groups) {
    if (group === undefined) continue;
    yield `  subgraph cluster_${at++} {\n    label=${dotText(group)};\n`;
    for (const node of own) yield `    ${nodeText(node)}`;
    yield "  }\n";
  }
  for (const node of groups.get(undefined) ?? []) yield `  ${nodeText(node)}`;
  for (const edge of edges) yield edgeText(edge);
  yield "}\n";
}

function nodeText({ id, label, kind }: GraphNode): string {
  const fill = FILLS[kind];
  const more = [
    ...(kind === "outside" ? ["shape=ellipse"] : []),
    ...(fill === undefined ? [] : ["style=filled", `fillcolor="${fill}"`]),
  ];
  return `${id} [${[`label=${dotText(label)}`, ...more].join(", ")}];\n`;
}

const STYLES: Readonly<Partial<Record<EdgeKind, string>>> = { reaches: "bold", further: "dashed" };

function edgeText({ from, to, kind, label, tip }: GraphEdge): string {
  const style = STYLES[kind];
  const attributes = [
    ...(label === undefined ? [] : [`label=${dotText(label)}`]),
    ...(style === undefined ? [] : [`style=${style}`]),
    ...(tip === undefined ? [] : [`tooltip=${dotText(tip)}`]),
  ];
  return `  ${from} -> ${to}${attributes.length === 0 ? "" : ` [${attributes.join(", ")}]`};\n`;
}

/** A backslash would begin one of Graphviz' own escapes (`\N`, `\G`). */
function dotText(text: string): string {
  return `"${plain(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
