/** Header edits put one behind the other, in the order of the filters that they stand for. */
import { type FieldLines, joinFieldLines, NO_FIELD_LINES } from "../codec/head-writer.ts";

export interface LineEdit {
  readonly remove: ReadonlySet<string> | undefined;
  readonly add: FieldLines;
}

/** What `first` adds and `then` removes is not added. */
export function joinEdits(first: LineEdit, then: LineEdit): { remove: ReadonlySet<string>; add: FieldLines } {
  const gone = then.remove ?? NOTHING;
  return {
    remove: (first.remove ?? NOTHING).union(gone),
    add: joinFieldLines(withoutLines(first.add, gone), then.add),
  };
}

const NOTHING: ReadonlySet<string> = new Set();

function withoutLines(lines: FieldLines, names: ReadonlySet<string>): FieldLines {
  if (lines === NO_FIELD_LINES || names.size === 0) return lines;
  const kept = lines
    .split(/(?<=\r\n)/)
    .filter((line) => !names.has(line.slice(0, line.indexOf(":")).toLowerCase()));
  // Whole lines of sound ones are sound.
  return kept.join("") as FieldLines;
}

/** A flat list of headers as the next hop would get them. */
export function headersAfter(headers: readonly string[], { remove, add }: LineEdit): readonly string[] {
  const kept =
    remove === undefined
      ? [...headers]
      : headers.filter((_text, at) => !remove.has(headers[at - (at % 2)] as string));
  for (const line of add.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) kept.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return kept;
}
