/** A connectivity map in the formats that people and tools read. Text, JSON and CSV are written line by line. */
import { type AccessLine, accessLines } from "../../analysis/map/access-lines.ts";
import type { AccessEntry } from "../../analysis/map/access-map.ts";
import type { MapEntry } from "../../policy/network/mesh-map.ts";
import { renderDot, renderMermaid } from "./map-graph.ts";
import { renderSvg } from "./map-svg.ts";
import { plain } from "./style.ts";

/** Of the network alone, or with what the mesh makes of it. */
export type ShownEntry = MapEntry | AccessEntry;
export type MapRenderer = (entries: Iterable<ShownEntry>) => Iterable<string>;

const RENDERERS: Readonly<Record<"text" | "json" | "csv" | "dot" | "mermaid" | "svg", MapRenderer>> = {
  text: renderText,
  json: renderJson,
  csv: renderCsv,
  dot: renderDot,
  mermaid: renderMermaid,
  svg: renderSvg,
};

export function renderMap(entries: Iterable<ShownEntry>, format: keyof typeof RENDERERS): Iterable<string> {
  return RENDERERS[format](entries);
}

function* renderText(entries: Iterable<ShownEntry>): Generator<string> {
  let count = 0;
  for (const entry of entries) {
    count++;
    const head = `${plain(entry.from)} => ${plain(entry.to)}`;
    if (!("access" in entry)) yield `${head} : ${entry.connections}\n`;
    else
      for (const { connections, text } of accessLines(entry))
        yield `${head} : ${connections} : ${plain(text)}${plain(viaText(entry))}\n`;
  }
  if (count === 0) yield "no connections\n";
}

function viaText({ via }: AccessEntry): string {
  return via === undefined ? "" : ` (for ${via.hosts.join(", ")}, by ${via.routes.join(", ")})`;
}

/** One entry a line; `requests` is null where the mesh's own layer is left out or does not judge. */
function* renderJson(entries: Iterable<ShownEntry>): Generator<string> {
  let before = "[";
  for (const entry of entries) {
    const { from, to, connections } = entry;
    const more = "access" in entry ? accessJson(entry) : { requests: null };
    yield `${before}\n  ${JSON.stringify({ from, to, connections, ...more })}`;
    before = ",";
  }
  yield before === "[" ? "[]\n" : "\n]\n";
}

function accessJson(entry: AccessEntry): object {
  const { access, why, via } = entry;
  const more = via === undefined ? {} : { via };
  if (access === null) return { requests: null, why, ...more };
  const requests = accessLines(entry).map(({ connections, outcome, sayings, text }) => ({
    connections,
    outcome,
    ...Object.fromEntries(sayings.map(({ id, text: said }) => [id, said])),
    text,
  }));
  return { requests, ...more };
}

function* renderCsv(entries: Iterable<ShownEntry>): Generator<string> {
  let isFirst = true;
  for (const entry of entries) {
    const isAccess = "access" in entry;
    if (isFirst) yield isAccess ? "from,to,connections,outcome,requests\n" : "from,to,connections\n";
    isFirst = false;
    const ends = `${csvField(entry.from)},${csvField(entry.to)}`;
    if (!isAccess) yield `${ends},${csvField(entry.connections)}\n`;
    else for (const line of accessLines(entry)) yield `${ends},${csvLine(line, viaText(entry))}\n`;
  }
  if (isFirst) yield "from,to,connections\n";
}

function csvLine({ connections, outcome, text }: AccessLine, via: string): string {
  return `${csvField(connections)},${outcome},${csvField(`${text}${via}`)}`;
}

/** RFC 4180. What a spreadsheet would take for a formula is none. */
function csvField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
