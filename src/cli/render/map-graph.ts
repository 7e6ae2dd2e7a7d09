/** A connectivity map as a graph, in Graphviz' and Mermaid's languages. */
import type { ShownEntry } from "./map.ts";
import { entryLabel } from "./map-label.ts";

interface GraphEnd {
  readonly id: string;
  readonly label: string;
}

interface Graph {
  /** Ends in a namespace, by its name. */
  readonly inside: ReadonlyMap<string, readonly GraphEnd[]>;
  readonly outside: readonly GraphEnd[];
  readonly edges: readonly { readonly from: string; readonly to: string; readonly label: string }[];
}

function graphOf(entries: Iterable<ShownEntry>): Graph {
  const ids = new Map<string, string>();
  const inside = new Map<string, GraphEnd[]>();
  const outside: GraphEnd[] = [];
  const idOf = (label: string, namespace: string | undefined): string => {
    const known = ids.get(label);
    if (known !== undefined) return known;
    const id = `n${ids.size}`;
    ids.set(label, id);
    if (namespace === undefined) outside.push({ id, label });
    else {
      const own = { id, label: label.slice(namespace.length + 1) };
      const group = inside.get(namespace);
      if (group === undefined) inside.set(namespace, [own]);
      else group.push(own);
    }
    return id;
  };
  const edges = [...entries].map((entry) => {
    const { source, destination } = entry;
    // By a waypoint: the client is the end, and the way belongs to the arrow.
    const way = source === undefined ? "" : entry.from.slice(source.label.length).trim();
    return {
      from: idOf(source?.label ?? entry.from, source?.pod.namespace),
      to: idOf(entry.to, destination?.pod.namespace),
      label: way === "" ? entryLabel(entry) : `${way}: ${entryLabel(entry)}`,
    };
  });
  return { inside, outside, edges };
}

export function* renderDot(entries: Iterable<ShownEntry>): Generator<string> {
  const { inside, outside, edges } = graphOf(entries);
  yield "digraph connections {\n  rankdir=LR;\n  node [shape=box];\n";
  let at = 0;
  for (const [namespace, ends] of inside) {
    yield `  subgraph cluster_${at++} {\n    label=${dotText(namespace)};\n`;
    for (const { id, label } of ends) yield `    ${id} [label=${dotText(label)}];\n`;
    yield "  }\n";
  }
  for (const { id, label } of outside) yield `  ${id} [label=${dotText(label)}, shape=ellipse];\n`;
  for (const { from, to, label } of edges) yield `  ${from} -> ${to} [label=${dotText(label)}];\n`;
  yield "}\n";
}

function dotText(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

export function* renderMermaid(entries: Iterable<ShownEntry>): Generator<string> {
  const { inside, outside, edges } = graphOf(entries);
  yield "flowchart LR\n";
  let at = 0;
  for (const [namespace, ends] of inside) {
    yield `  subgraph s${at++}[${mermaidText(namespace)}]\n`;
    for (const { id, label } of ends) yield `    ${id}[${mermaidText(label)}]\n`;
    yield "  end\n";
  }
  for (const { id, label } of outside) yield `  ${id}([${mermaidText(label)}])\n`;
  for (const { from, to, label } of edges) yield `  ${from} -->|${mermaidText(label)}| ${to}\n`;
}

/** Entities by number are the only escape that Mermaid has. */
function mermaidText(text: string): string {
  return `"${text.replaceAll(/["#<>&]/g, (character) => `#${character.charCodeAt(0)};`)}"`;
}
