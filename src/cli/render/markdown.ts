import { plain } from "./style.ts";

/** Text as text, whatever Markdown would make of it. */
export function markdownText(text: string): string {
  return plain(text).replace(/[\\`*_{}[\]<>|#]/g, "\\$&");
}

/** Every cell is text. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(markdownText).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

/** What the reader has to know before the rest, as a paragraph; nothing where there is none. */
export function warningMarkdown(warning: string | undefined): readonly string[] {
  return warning === undefined ? [] : [`> **Warning:** ${markdownText(warning)}`];
}
