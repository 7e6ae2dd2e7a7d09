/** A connectivity map in the formats that people and tools read. Text, JSON and CSV are written line by line. */
import type { MapEntry } from "../../policy/network/mesh-map.ts";
import { renderDot, renderMermaid } from "./map-graph.ts";
import { renderSvg } from "./map-svg.ts";
import { plain } from "./style.ts";

export type MapRenderer = (entries: Iterable<MapEntry>) => Iterable<string>;

const RENDERERS: Readonly<Record<"text" | "json" | "csv" | "dot" | "mermaid" | "svg", MapRenderer>> = {
  text: renderText,
  json: renderJson,
  csv: renderCsv,
  dot: renderDot,
  mermaid: renderMermaid,
  svg: renderSvg,
};

export function renderMap(entries: Iterable<MapEntry>, format: keyof typeof RENDERERS): Iterable<string> {
  return RENDERERS[format](entries);
}

function* renderText(entries: Iterable<MapEntry>): Generator<string> {
  let count = 0;
  for (const { from, to, connections } of entries) {
    count++;
    yield `${plain(from)} => ${plain(to)} : ${connections}\n`;
  }
  if (count === 0) yield "no connections\n";
}

/** One entry a line; `requests` is for the mesh's own layer. */
function* renderJson(entries: Iterable<MapEntry>): Generator<string> {
  let before = "[";
  for (const { from, to, connections } of entries) {
    yield `${before}\n  {"from":${JSON.stringify(from)},"to":${JSON.stringify(to)},"connections":${JSON.stringify(connections)},"requests":null}`;
    before = ",";
  }
  yield before === "[" ? "[]\n" : "\n]\n";
}

function* renderCsv(entries: Iterable<MapEntry>): Generator<string> {
  yield "from,to,connections\n";
  for (const { from, to, connections } of entries)
    yield `${csvField(from)},${csvField(to)},${csvField(connections)}\n`;
}

/** RFC 4180. What a spreadsheet would take for a formula is none. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
