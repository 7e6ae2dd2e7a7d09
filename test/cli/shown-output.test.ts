/** What READMEs and documents show after `$ bulwark …` is what the command prints: lines in their order, `…` for lines that are left out. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { bulwark } from "./run-bulwark.ts";

/** Those that need no running mesh. */
const ASKED: ReadonlySet<string> = new Set(["map", "diff", "verify", "tighten", "blast", "can", "audit"]);
const PROMPT = /^ {4}\$ (?:npx )?bulwark (.+)$/;
const GAP = "…";

interface Shown {
  readonly file: string;
  readonly command: string;
  readonly lines: readonly string[];
}

function shownIn(file: string): readonly Shown[] {
  const found: { file: string; command: string; lines: string[] }[] = [];
  let current: string[] | undefined;
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [, command] = PROMPT.exec(line) ?? [];
    if (command !== undefined) {
      current = [];
      found.push({ file, command: command.replace(/ {2,}#.*$/, ""), lines: current });
    } else if (line === "" || line.startsWith("    ")) current?.push(line.slice(4));
    else current = undefined;
  }
  return found.map((own) => ({ ...own, lines: trimmed(own.lines) }));
}

/** Without the empty lines that end a block. */
function trimmed(lines: readonly string[]): readonly string[] {
  return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1);
}

/** What is shown and not printed; undefined: all is, and nothing else but in gaps. */
function staleLines(lines: readonly string[], printed: readonly string[]): string | undefined {
  const runs: string[][] = [[]];
  for (const line of lines)
    if (line.trim() === GAP) runs.push([]);
    else runs.at(-1)?.push(line);
  let at = 0;
  for (const [number, run] of runs.entries()) {
    const isAt = (place: number): boolean => run.every((line, offset) => printed[place + offset] === line);
    while (number > 0 && at < printed.length && !isAt(at)) at++;
    if (!isAt(at)) return run.join("\n");
    at += run.length;
  }
  const isWhole = at === printed.length || runs.at(-1)?.length === 0;
  return isWhole ? undefined : `(the end, but there is more: ${printed[at]})`;
}

const FILES = ["README.md", ...globSync(["docs/*.md", "examples/*/README.md"]).sort()];
const SHOWN = FILES.flatMap(shownIn).filter(({ command }) => ASKED.has(command.split(" ", 1)[0] ?? ""));

for (const { file, command, lines } of SHOWN)
  test(`${file} shows what \`bulwark ${command}\` prints`, async () => {
    const { stdout, stderr, code } = await bulwark(command.split(/ +/));
    assert.ok(code === 0 || code === 2, stderr);
    assert.equal(staleLines(lines, trimmed(stdout.split("\n"))), undefined, stdout);
  });

test("the README shows each command that computes", () => {
  const commands = SHOWN.filter(({ file, lines }) => file === "README.md" && lines.length > 0).map(
    ({ command }) => command.split(" ", 1)[0],
  );
  for (const wanted of ["map", "diff", "verify", "tighten", "audit", "blast"])
    assert.ok(commands.includes(wanted), wanted);
});

test("a line that is not printed, stands elsewhere, or is left out without a gap is stale", () => {
  const printed = ["a", "b", "c"];
  assert.equal(staleLines(["a", "b", "c"], printed), undefined);
  assert.equal(staleLines(["a", GAP, "c"], printed), undefined);
  assert.equal(staleLines([GAP, "b", GAP], printed), undefined);
  assert.equal(staleLines(["a", GAP], printed), undefined);
  assert.equal(staleLines(["a", "c"], printed), "a\nc");
  assert.equal(staleLines([GAP, "b", "a"], printed), "b\na");
  assert.equal(staleLines([GAP, "a", "c", GAP], ["a", "b", "a", "c", "d"]), undefined);
  assert.match(staleLines(["a", "b"], printed) ?? "", /there is more: c/);
});
