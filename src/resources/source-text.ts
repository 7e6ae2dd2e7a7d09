import { parseEvents } from "js-yaml";
import type { Span } from "./diagnostic.ts";
import type { FieldPath } from "./resource.ts";
import { findRange, repeatedKeys, type TextNode, type TextRange, textTrees } from "./text-tree.ts";

/** Collections deeper than this are refused: no manifest is, and recursion below stays safe. */
export const MAX_DEPTH = 100;

/**
 * The text of one chunk of a file (what stands between two `---`), with the way from field paths to lines and columns.
 * The tree is built on the first question only: positions cost as much as the parse, and most documents are never asked.
 */
export class SourceText {
  readonly file: string;
  readonly text: string;
  /** Lines of the file before this text. */
  readonly #linesBefore: number;
  #trees: readonly TextNode[] | undefined;
  #lineStarts: readonly number[] | undefined;

  constructor(file: string, text: string, linesBefore: number) {
    this.file = file;
    this.text = text;
    this.#linesBefore = linesBefore;
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
    this.#trees ??= textTrees(this.text, parseEvents(this.text, { maxDepth: MAX_DEPTH }));
    return this.#trees;
  }

  #offset(line: number): number {
    this.#lineStarts ??= lineStarts(this.text);
    return this.#lineStarts[line - this.#linesBefore - 1] ?? 0;
  }

  #position(offset: number): { line: number; column: number } {
    this.#lineStarts ??= lineStarts(this.text);
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: this.#linesBefore + low + 1, column: offset - (this.#lineStarts[low] ?? 0) + 1 };
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (const match of text.matchAll(/\r\n|\r|\n/g)) starts.push(match.index + match[0].length);
  return starts;
}

/** How many line breaks the text has. */
export function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}
