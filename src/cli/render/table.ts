import { plain, style } from "./style.ts";

/** Columns that line up; the last one is not padded. Empty without rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const clean = rows.map((row) => row.map(plain));
  const widths = head.map((title, column) =>
    clean.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), title.length),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return `${style("dim", line(head))}\n${clean.map((row) => `${line(row)}\n`).join("")}`;
}
