/** A graph as it is to be drawn, whatever draws it: Graphviz, Mermaid, or we ourselves. */

/** `end` and `outside` are of a map; the others of a compromise: itself, what it gains, controls, reaches, and what follows. */
export type NodeKind = "end" | "outside" | "start" | "gain" | "controlled" | "reached" | "further";

/** `way` is of a map; the others: what is had without leave, what is let through at one hop, and further on. */
export type EdgeKind = "way" | "gains" | "reaches" | "further";

export interface GraphNode {
  /** Letters and digits, which need no escape anywhere. */
  readonly id: string;
  /** Text from outside: each writer escapes it. */
  readonly label: string;
  readonly kind: NodeKind;
  /** What it stands in a box with, such as its namespace. */
  readonly group?: string;
  /** From left to right, from 0; only what we draw ourselves looks at it. */
  readonly column: number;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly kind: EdgeKind;
  readonly label?: string;
  /** Why, for who asks. */
  readonly tip?: string;
}

export interface DrawnGraph {
  /** A word, which needs no escape. */
  readonly name: string;
  readonly title?: string;
  readonly description?: string;
  /** Over each column. */
  readonly columns: readonly string[];
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** Nodes by their group, in the order in which each group first comes; those without one stand under undefined. */
export function groupsOf(nodes: readonly GraphNode[]): ReadonlyMap<string | undefined, readonly GraphNode[]> {
  return Map.groupBy(nodes, ({ group }) => group);
}

const MAX_LABEL = 90;

/** A label of which the end is left out where it would burst the picture. */
export function shortened(label: string): string {
  const characters = [...label];
  return characters.length <= MAX_LABEL ? label : `${characters.slice(0, MAX_LABEL - 1).join("")}…`;
}

/** Light enough for black text. */
export const FILLS: Readonly<Partial<Record<NodeKind, string>>> = {
  start: "#f5b7b1",
  gain: "#fdebd0",
  controlled: "#f5cba7",
  reached: "#d6eaf8",
  further: "#f2f3f4",
};
