/** A connectivity map as a table that a browser shows: who connects down the side, to whom along the top. */
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { ShownEntry } from "./map.ts";
import { entryLabel } from "./map-label.ts";
import { xmlText } from "./xml-text.ts";

const CELL = 22;
const CHARACTER = 6.6;
const MARGIN = 12;
/** A larger picture helps nobody. */
const MAX_ENDS = 400;

/** @throws {BulwarkError} BW_CLI_INPUT where there are too many ends for a picture. */
export function* renderSvg(entries: Iterable<ShownEntry>): Generator<string> {
  const lines = [...entries];
  const rows = [...new Set(lines.map(({ from }) => from))];
  const columns = [...new Set(lines.map(({ to }) => to))];
  if (rows.length > MAX_ENDS || columns.length > MAX_ENDS)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${rows.length} by ${columns.length} ends are too many for a picture (${MAX_ENDS} at most): narrow the map by --namespace, --focus, --from or --to`,
    );
  const left = Math.ceil(MARGIN + CHARACTER * longest(rows) + 8);
  const top = Math.ceil(MARGIN + CHARACTER * longest(columns) + 8);
  const width = left + CELL * columns.length + MARGIN;
  const height = top + CELL * rows.length + MARGIN;
  yield `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="11">\n`;
  yield `<title>Who can connect to whom</title>\n<rect width="100%" height="100%" fill="#ffffff"/>\n`;
  for (const [at, label] of rows.entries())
    yield `<text x="${left - 6}" y="${top + CELL * at + 15}" text-anchor="end">${xmlText(label)}</text>\n`;
  for (const [at, label] of columns.entries()) {
    const x = left + CELL * at + 15;
    yield `<text x="${x}" y="${top - 6}" transform="rotate(-90 ${x} ${top - 6})">${xmlText(label)}</text>\n`;
  }
  yield* grid(left, top, rows.length, columns.length);
  const row = new Map(rows.map((label, at) => [label, at]));
  const column = new Map(columns.map((label, at) => [label, at]));
  for (const entry of lines) {
    const { from, to, connections } = entry;
    const x = left + CELL * (column.get(to) ?? 0) + 2;
    const y = top + CELL * (row.get(from) ?? 0) + 2;
    const fill = connections === "All Connections" ? "#c0392b" : "#2e86c1";
    yield `<rect x="${x}" y="${y}" width="${CELL - 4}" height="${CELL - 4}" rx="3" fill="${fill}"><title>${xmlText(`${from} => ${to} : ${entryLabel(entry)}`)}</title></rect>\n`;
  }
  yield "</svg>\n";
}

function* grid(left: number, top: number, rows: number, columns: number): Generator<string> {
  const right = left + CELL * columns;
  const bottom = top + CELL * rows;
  for (let at = 0; at <= rows; at++)
    yield `<path d="M${left} ${top + CELL * at}H${right}" stroke="#dddddd"/>\n`;
  for (let at = 0; at <= columns; at++)
    yield `<path d="M${left + CELL * at} ${top}V${bottom}" stroke="#dddddd"/>\n`;
}

function longest(labels: readonly string[]): number {
  return labels.reduce((length, label) => Math.max(length, label.length), 0);
}
