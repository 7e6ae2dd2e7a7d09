import { type Event, parseEvents } from "js-yaml";
import type { Span } from "./diagnostic.ts";
import type { FieldPath } from "./resource.ts";
import { findRange, repeatedKeys, type TextNode, type TextRange, textTrees } from "./text-tree.ts";

/** Collections deeper than this are refused: no manifest is, and recursion below stays safe. */
export const MAX_DEPTH = 100;

/** Deeper than any manifest is indented. */
const MORE_INDENT = " ".repeat(100);
/** Each costs another parse of the document. */
const MAX_INDENTED_LINES = 100;

/** The last colon of a plain IPv6 address like `2001:db8::` before what goes on with, or ends, a flow collection. */
const TRAILING_COLON = /(?<=[0-9A-Fa-f]:):(?=[,\]}])/g;

/**
 * The text of one chunk of a file (what stands between two `---`), with the way from field paths to lines and columns.
 * The tree is built on the first question only: positions cost as much as the parse, and most documents are never asked.
 */
export class SourceText {
  readonly file: string;
  readonly text: string;
  /** Lines of the file before this text. */
  readonly #linesBefore: number;
  /** Lines, from 0, that were moved to the right to be read: see `indentLineAt`. */
  readonly #indented: ReadonlySet<number>;
  #trees: readonly TextNode[] | undefined;
  #lineStarts: readonly number[] | undefined;

  constructor(file: string, text: string, linesBefore: number, indented: ReadonlySet<number> = new Set()) {
    this.file = file;
    this.text = text;
    this.#linesBefore = linesBefore;
    this.#indented = indented;
  }

  /**
   * What stands in the text, to be read together with it. Kubernetes' parser takes the colons of `[2001:db8::]` as the
   * text of a string, YAML 1.2 (§7.4.2) takes the last for a key's: it is hidden by a digit. That moves no place, and
   * values are read from the text itself, so that one hidden inside quotes or a comment shows nowhere.
   * @throws {YAMLException}
   */
  events(): Event[] {
    return parseEvents(this.text.replace(TRAILING_COLON, "0"), { maxDepth: MAX_DEPTH });
  }

  /** The same text with the line moved to the right; places are still those of the file. Nothing where it was moved before. */
  indentLineAt(offset: number): SourceText | undefined {
    const line = this.#lineIndex(offset);
    const start = this.#starts()[line] ?? 0;
    if (this.#indented.has(line) || this.#indented.size >= MAX_INDENTED_LINES) return undefined;
    const text = `${this.text.slice(0, start)}${MORE_INDENT}${this.text.slice(start)}`;
    return new SourceText(this.file, text, this.#linesBefore, new Set([...this.#indented, line]));
  }

  /** Where the field stands: its value, or its key where asked for or where the value is a collection. */
  locate(document: number, path: FieldPath, prefer: "value" | "key" = "value"): Span {
    const tree = this.#tree(document);
    return this.span(tree === undefined ? { start: 0, end: 0 } : findRange(tree, path, prefer));
  }

  /** A place inside a block scalar (`|`) is a place of the file; in other scalars lines are not kept. */
  locateEmbedded(document: number, path: FieldPath, inner: Span): Span {
    const outer = this.locate(document, path);
    if (outer.column !== 1) return outer;
    const first = this.text.slice(this.#offset(outer.line));
    const indent = /^(?: *\r?\n)*( *)/.exec(first)?.[1]?.length ?? 0;
    const before = outer.line - 1;
    return {
      file: this.file,
      line: inner.line + before,
      column: inner.column + indent,
      endLine: inner.endLine + before,
      endColumn: inner.endColumn + indent,
    };
  }

  repeatedKeys(): { key: string; first: Span; again: Span }[] {
    return this.#allTrees()
      .flatMap(repeatedKeys)
      .map(({ key, first, again }) => ({ key, first: this.span(first), again: this.span(again) }));
  }

  span(range: TextRange): Span {
    const start = this.#position(range.start);
    const end = this.#position(Math.max(range.start, range.end));
    return {
      file: this.file,
      line: start.line,
      column: start.column,
      endLine: end.line,
      endColumn: end.column,
    };
  }

  #tree(document: number): TextNode | undefined {
    return this.#allTrees()[document];
  }

  #allTrees(): readonly TextNode[] {
    if (this.#trees === undefined) {
      this.#trees = textTrees(this.text, this.events());
      keep(this, () => this.#forget());
    }
    return this.#trees;
  }

  #forget(): void {
    this.#trees = undefined;
    this.#lineStarts = undefined;
  }

  #offset(line: number): number {
    return this.#starts()[line - this.#linesBefore - 1] ?? 0;
  }

  #position(offset: number): { line: number; column: number } {
    const line = this.#lineIndex(offset);
    const moved = this.#indented.has(line) ? MORE_INDENT.length : 0;
    const column = offset - (this.#starts()[line] ?? 0) - moved;
    return { line: this.#linesBefore + line + 1, column: Math.max(0, column) + 1 };
  }

  #lineIndex(offset: number): number {
    const starts = this.#starts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #starts(): readonly number[] {
    this.#lineStarts ??= lineStarts(this.text);
    return this.#lineStarts;
  }
}

/** A tree is larger than its text, and questions about one document come together: of a large mesh's, the last ones are kept. */
const KEPT_TREES = 256;
const kept = new Map<SourceText, () => void>();

function keep(source: SourceText, forget: () => void): void {
  kept.set(source, forget);
  for (const [oldest, forgetOldest] of kept) {
    if (kept.size <= KEPT_TREES) return;
    kept.delete(oldest);
    forgetOldest();
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const match of text.matchAll(/\r\n|\r|\n/g)) starts.push(match.index + match[0].length);
  return starts;
}

/** How many line breaks the text has. */
export function countLines(text: string): number {
  if (text.includes("\r")) return lineStarts(text).length - 1;
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}
