import { accessLines } from "../../analysis/map/access-lines.ts";
import type { ShownEntry } from "./map.ts";

/** More do not fit beside an arrow. */
const MAX_LINES = 3;

/** What a picture says of a pair. */
export function entryLabel(entry: ShownEntry): string {
  if (!("access" in entry)) return entry.connections;
  const lines = accessLines(entry).map(({ connections, text }) => `${connections}: ${text}`);
  const more = lines.length > MAX_LINES ? [`and ${lines.length - MAX_LINES} more`] : [];
  return [...lines.slice(0, MAX_LINES), ...more].join(" | ");
}
