/** A connectivity map as a graph, in Graphviz' and Mermaid's languages. */
import type { DrawnGraph, GraphEdge, GraphNode } from "./graph/drawn-graph.ts";
import { dotOf } from "./graph/graph-dot.ts";
import { mermaidOf } from "./graph/graph-mermaid.ts";
import type { ShownEntry } from "./map.ts";
import { entryLabel } from "./map-label.ts";

export function renderDot(entries: Iterable<ShownEntry>): Iterable<string> {
  return dotOf(graphOf(entries));
}

export function renderMermaid(entries: Iterable<ShownEntry>): Iterable<string> {
  return mermaidOf(graphOf(entries));
}

function graphOf(entries: Iterable<ShownEntry>): DrawnGraph {
  const nodes = new Map<string, GraphNode>();
  const idOf = (label: string, namespace: string | undefined): string => {
    const known = nodes.get(label);
    if (known !== undefined) return known.id;
    const id = `n${nodes.size}`;
    const own =
      namespace === undefined
        ? ({ label, kind: "outside" } as const)
        : ({ label: label.slice(namespace.length + 1), kind: "end", group: namespace } as const);
    nodes.set(label, { id, column: 0, ...own });
    return id;
  };
  const edges = [...entries].map((entry): GraphEdge => {
    const { source, destination } = entry;
    // By a waypoint: the client is the end, and the way belongs to the arrow.
    const way = source === undefined ? "" : entry.from.slice(source.label.length).trim();
    return {
      from: idOf(source?.label ?? entry.from, source?.pod.namespace),
      to: idOf(entry.to, destination?.pod.namespace),
      kind: "way",
      label: way === "" ? entryLabel(entry) : `${way}: ${entryLabel(entry)}`,
    };
  });
  return { name: "connections", columns: [], nodes: [...nodes.values()], edges };
}
