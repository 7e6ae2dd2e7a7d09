/** A graph in Mermaid's language (https://mermaid.js.org/syntax/flowchart.html). */
import { plain } from "../style.ts";
import {
  type DrawnGraph,
  type EdgeKind,
  FILLS,
  type GraphEdge,
  type GraphNode,
  groupsOf,
} from "./drawn-graph.ts";

export function* mermaidOf({ title, description, nodes, edges }: DrawnGraph): Generator<string> {
  yield "flowchart LR\n";
  if (title !== undefined) yield `  accTitle: ${mermaidWords(title)}\n`;
  if (description !== undefined) yield `  accDescr: ${mermaidWords(description)}\n`;
  const groups = groupsOf(nodes);
  let at = 0;
  for (const [group, own] of groups) {
    if (group === undefined) continue;
    yield `  subgraph s${at++}[${mermaidText(group)}]\n`;
    for (const node of own) yield `    ${nodeText(node)}`;
    yield "  end\n";
  }
  for (const node of groups.get(undefined) ?? []) yield `  ${nodeText(node)}`;
  for (const edge of edges) yield edgeText(edge);
  yield* classes(nodes);
}

function nodeText({ id, label, kind }: GraphNode): string {
  const shape = kind === "outside" ? `([${mermaidText(label)}])` : `[${mermaidText(label)}]`;
  return `${id}${shape}${FILLS[kind] === undefined ? "" : `:::${kind}`}\n`;
}

const ARROWS: Readonly<Record<EdgeKind, string>> = {
  way: "-->",
  gains: "-->",
  reaches: "==>",
  further: "-.->",
};

function edgeText({ from, to, kind, label }: GraphEdge): string {
  return `  ${from} ${ARROWS[kind]}${label === undefined ? "" : `|${mermaidText(label)}|`} ${to}\n`;
}

function* classes(nodes: readonly GraphNode[]): Generator<string> {
  for (const kind of new Set(nodes.map((node) => node.kind))) {
    const fill = FILLS[kind];
    if (fill !== undefined) yield `  classDef ${kind} fill:${fill},stroke:#555,color:#000\n`;
  }
}

/**
 * Entities by number are the only escape that Mermaid has. Besides quotes and marks of its own these are those of HTML, of Markdown in quotes (a backtick),
 * of line breaks (`\n`) and of directives, which it takes anywhere (`%%{`).
 */
function mermaidText(text: string): string {
  return `"${mermaidWords(text)}"`;
}

function mermaidWords(text: string): string {
  return plain(text).replaceAll(/["#<>&`\\%]/g, (character) => `#${character.charCodeAt(0)};`);
}
