/** Where the nodes of a graph stand: column by column from left to right, in each the groups below each other. In pixels. */
import { type DrawnGraph, type GraphNode, groupsOf, shortened } from "./drawn-graph.ts";

export interface PlacedNode {
  readonly node: GraphNode;
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

export interface PlacedText {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly nodes: ReadonlyMap<string, PlacedNode>;
  readonly lines: readonly PlacedText[];
  readonly headings: readonly PlacedText[];
  readonly groups: readonly PlacedText[];
}

export const NODE_HEIGHT = 22;
/** Of a monospaced font of 11 pixels. */
const CHARACTER = 6.7;
const MARGIN = 16;
const GAP = 90;
const ROW = NODE_HEIGHT + 6;
const GROUP_ROW = 20;
const LINE = 16;

/** @param texts lines at the top. */
export function layoutOf({ columns, nodes }: DrawnGraph, texts: readonly string[]): Layout {
  const top = MARGIN + LINE * (texts.length + 2);
  const placed = new Map<string, PlacedNode>();
  const headings: PlacedText[] = [];
  const groups: PlacedText[] = [];
  let x = MARGIN;
  let bottom = top;
  for (const [column, title] of columns.entries()) {
    const own = nodes.filter((node) => node.column === column);
    if (own.length === 0) continue;
    headings.push({ text: title, x, y: top - 14 });
    const width = Math.ceil(widthOf([title, ...own.flatMap(({ label, group = "" }) => [label, group])]) + 16);
    let y = top;
    for (const [group, members] of groupsOf(own)) {
      if (group !== undefined) {
        groups.push({ text: shortened(group), x, y: y + 13 });
        y += GROUP_ROW;
      }
      for (const node of members) {
        placed.set(node.id, { node, text: shortened(node.label), x, y, width });
        y += ROW;
      }
    }
    bottom = Math.max(bottom, y);
    x += width + GAP;
  }
  const width = Math.max(x - GAP, MARGIN + widthOf(texts)) + MARGIN;
  const lines = texts.map((text, at) => ({ text: shortened(text), x: MARGIN, y: MARGIN + LINE * at + 6 }));
  return { width: Math.ceil(width), height: bottom + MARGIN, nodes: placed, lines, headings, groups };
}

function widthOf(texts: readonly string[]): number {
  return texts.reduce((most, text) => Math.max(most, [...shortened(text)].length * CHARACTER), 0);
}
