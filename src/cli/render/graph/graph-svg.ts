/** A graph as a picture that any browser shows, with a name and a description for who does not see it (SVG-AAM, WAI-ARIA Graphics). */
import { xmlText } from "../xml-text.ts";
import { type DrawnGraph, type EdgeKind, FILLS, type GraphEdge } from "./drawn-graph.ts";
import { type Layout, layoutOf, NODE_HEIGHT, type PlacedNode, type PlacedText } from "./layout.ts";

export function* svgOf(graph: DrawnGraph): Generator<string> {
  const { name, title = name, description = "", nodes, edges } = graph;
  const sentences = description.split(/(?<=\.) /);
  const layout = layoutOf(graph, [title, ...sentences]);
  const { width, height } = layout;
  yield `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${name}-title ${name}-description" font-family="monospace" font-size="11">\n`;
  yield `<title id="${name}-title">${xmlText(title)}</title>\n<desc id="${name}-description">${xmlText(description)}</desc>\n`;
  yield `<defs><marker id="${name}-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555555"/></marker></defs>\n`;
  yield '<rect width="100%" height="100%" fill="#ffffff"/>\n';
  for (const line of layout.lines) yield textOf(line);
  for (const edge of edges) yield edgeOf(edge, layout, `${name}-arrow`);
  for (const heading of layout.headings) yield textOf(heading, ' font-weight="bold"');
  for (const group of layout.groups) yield textOf(group, ' fill="#444444" font-style="italic"');
  for (const { id } of nodes) yield nodeOf(layout.nodes.get(id));
  yield "</svg>\n";
}

function textOf({ text, x, y }: PlacedText, attributes = ""): string {
  return `<text x="${x}" y="${y}"${attributes}>${xmlText(text)}</text>\n`;
}

function nodeOf(placed: PlacedNode | undefined): string {
  if (placed === undefined) return "";
  const { node, text, x, y, width } = placed;
  const box = `<rect x="${x}" y="${y}" width="${width}" height="${NODE_HEIGHT}" rx="4" fill="${FILLS[node.kind] ?? "#ffffff"}" stroke="#555555"/>`;
  const label = `<text x="${x + 8}" y="${y + 15}">${xmlText(text)}</text>`;
  return `<g><title>${xmlText(node.label)}</title>${box}${label}</g>\n`;
}

/** Told apart without colours, too. */
const STROKES: Readonly<Record<EdgeKind, string>> = {
  way: 'stroke="#555555"',
  gains: 'stroke="#555555"',
  reaches: 'stroke="#1f618d" stroke-width="2"',
  further: 'stroke="#7f8c8d" stroke-dasharray="5 4"',
};

function edgeOf({ from, to, kind, label, tip }: GraphEdge, { nodes }: Layout, arrow: string): string {
  const [source, target] = [nodes.get(from), nodes.get(to)];
  if (source === undefined || target === undefined) return "";
  const said = [label, tip].filter((text) => text !== undefined).join(": ");
  const title = said === "" ? "" : `<title>${xmlText(said)}</title>`;
  return `<path d="${pathOf(source, target)}" fill="none" ${STROKES[kind]} marker-end="url(#${arrow})">${title}</path>\n`;
}

/** To the left side of what stands further right; else around, to its right side. */
function pathOf(source: PlacedNode, target: PlacedNode): string {
  const [x1, y1] = [source.x + source.width, source.y + NODE_HEIGHT / 2];
  const y2 = target.y + NODE_HEIGHT / 2;
  const isForward = target.node.column > source.node.column;
  const x2 = isForward ? target.x : target.x + target.width;
  const bend = isForward ? x2 - 45 : x2 + 45;
  return `M${x1} ${y1}C${x1 + 45} ${y1} ${bend} ${y2} ${x2} ${y2}`;
}
