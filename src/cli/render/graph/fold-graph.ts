/** A graph that nobody could read, made one that can be: what stands together becomes one node with its count. */
import type { DrawnGraph, GraphEdge, GraphNode } from "./drawn-graph.ts";

/** More are folded. */
const MAX_NODES = 60;
/** So many of a column and group may stand by themselves. */
const MAX_ALONE = 3;
/** So many nodes a column has at most once it is folded. */
const MAX_COLUMN = 12;

/** Several nodes that are drawn as one, or one as itself. */
interface Folded {
  readonly node: GraphNode;
  readonly members: readonly GraphNode[];
}

/** The graph itself where it is small. What is not in a group stays as it is. */
export function foldGraph(graph: DrawnGraph): DrawnGraph {
  const { nodes, edges, description = "" } = graph;
  if (nodes.length <= MAX_NODES) return graph;
  const folded = [...Map.groupBy(nodes, ({ column }) => column).values()].flatMap((own) =>
    foldColumn(foldGroups(own)),
  );
  const ids = new Map(folded.flatMap(({ node, members }) => members.map(({ id }) => [id, node.id])));
  return {
    ...graph,
    description: `${description} Folded: ${nodes.length} things are too many for a picture, and --format json has all.`,
    nodes: folded.map(({ node }) => node),
    edges: foldEdges(edges, ids),
  };
}

function foldGroups(column: readonly GraphNode[]): readonly Folded[] {
  return [...Map.groupBy(column, ({ group }) => group)].flatMap(([group, members]) => {
    const [first] = members;
    if (first === undefined || group === undefined || members.length <= MAX_ALONE)
      return members.map((node) => ({ node, members: [node] }));
    return [{ node: { ...first, label: `${members.length} of these` }, members }];
  });
}

/** The largest stay; the rest become one. */
function foldColumn(all: readonly Folded[]): readonly Folded[] {
  if (all.length <= MAX_COLUMN) return all;
  const bySize = all.toSorted((a, b) => b.members.length - a.members.length);
  const kept = new Set(bySize.slice(0, MAX_COLUMN - 1));
  const rest = all.filter((one) => !kept.has(one)).flatMap(({ members }) => members);
  const [first] = rest;
  if (first === undefined) return all;
  const groups = new Set(rest.map(({ group }) => group)).size;
  const { group: _group, ...bare } = first;
  const node = { ...bare, label: `${rest.length} more, in ${groups} groups` };
  return [...all.filter((one) => kept.has(one)), { node, members: rest }];
}

/** Of several between the same two one is left, with their number; what is within one node goes. */
function foldEdges(edges: readonly GraphEdge[], ids: ReadonlyMap<string, string>): readonly GraphEdge[] {
  const moved = edges.map((edge) => ({
    ...edge,
    from: ids.get(edge.from) ?? edge.from,
    to: ids.get(edge.to) ?? edge.to,
  }));
  const between = Map.groupBy(moved, ({ from, to, kind }) => `${from} ${to} ${kind}`);
  return [...between.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined || first.from === first.to) return [];
    if (own.length === 1) return [first];
    const { tip: _tip, ...bare } = first;
    return [{ ...bare, label: `${own.length} ways` }];
  });
}
