import { posix } from "node:path";
import type { Outcome, Status } from "./outcome.ts";

/** Mutants of a file or folder, counted. */
export interface Score {
  readonly name: string;
  readonly killed: number;
  readonly timeout: number;
  readonly survived: number;
  readonly unreached: number;
  readonly leftOut: number;
  /** Of all that count, those that were noticed: 0 to 100. */
  readonly percent: number;
}

export interface Report {
  readonly total: Score;
  readonly folders: readonly Score[];
  readonly files: readonly Score[];
  /** What no test notices. */
  readonly survivors: readonly Outcome[];
}

export function reportOf(outcomes: readonly Outcome[]): Report {
  const scoresBy = (nameOf: (file: string) => string): Score[] =>
    [...Map.groupBy(outcomes, ({ mutant }) => nameOf(mutant.file))]
      .map(([name, own]) => scoreOf(name, own))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    total: scoreOf("all", outcomes),
    folders: scoresBy((file) => posix.dirname(file)),
    files: scoresBy((file) => file),
    survivors: outcomes
      .filter(({ status }) => status === "survived" || status === "unreached")
      .sort(({ mutant: a }, { mutant: b }) =>
        a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1,
      ),
  };
}

function scoreOf(name: string, outcomes: readonly Outcome[]): Score {
  const count = (wanted: Status): number => outcomes.filter(({ status }) => status === wanted).length;
  const [killed, timeout, survived, unreached] = [
    count("killed"),
    count("timeout"),
    count("survived"),
    count("unreached"),
  ];
  const noticed = killed + timeout;
  const counted = noticed + survived + unreached;
  const percent = counted === 0 ? 100 : (100 * noticed) / counted;
  return { name, killed, timeout, survived, unreached, leftOut: count("left-out"), percent };
}

/** Survivors, then a table of the files and folders. */
export function printReport({ survivors, files, folders, total }: Report): string {
  const rows = [...files, ...(folders.length > 1 ? folders : []), total];
  return [...survivors.map(printSurvivor), "", ...table(rows)].join("\n");
}

const SHOWN = 300;

function printSurvivor({ mutant, status }: Outcome): string {
  const { file, line, column, operator, original, replacement } = mutant;
  const note = status === "unreached" ? " (no test reaches it)" : "";
  return `${file}:${line}:${column} ${operator}${note}\n  - ${oneLine(original)}\n  + ${oneLine(replacement)}`;
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}

const HEADINGS = ["", "score %", "killed", "timeout", "survived", "unreached", "left out"] as const;

function table(rows: readonly Score[]): string[] {
  const cells = rows.map((score) => [
    score.name,
    score.percent.toFixed(1),
    ...[score.killed, score.timeout, score.survived, score.unreached, score.leftOut].map(String),
  ]);
  const widths = HEADINGS.map((heading, index) =>
    Math.max(heading.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  const print = (row: readonly string[]): string =>
    row
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[index] ?? 0)))
      .join("  ");
  return [print(HEADINGS), ...cells.map(print)];
}
