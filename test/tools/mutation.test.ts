import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { instrument } from "../../tools/mutation/instrument.ts";
import { isLeftOut } from "../../tools/mutation/left-out.ts";
import { reportOf } from "../../tools/mutation/report.ts";
import { Snapshot } from "../../tools/mutation/snapshot.ts";
import { HitLimitError, NO_MUTANT, Switchboard } from "../../tools/mutation/switchboard.ts";

/** As it stands in a source: `${…}`. */
const FILLED = `$\{name}`;

const SOURCE = "export const isBig = (n) => n > 9;\n";

/** The instrumented source, run. */
async function loaded(board: Switchboard): Promise<(n: number) => boolean> {
  const { code } = await instrument(new Map([["big.ts", SOURCE]]));
  Object.assign(globalThis, { __mutation__: board });
  const text = (code.get("big.ts") ?? "").replace("export const isBig =", "return");
  return new Function(text)() as (n: number) => boolean;
}

test("each mutant behaves as its replacement says, and only when it is switched on", async () => {
  const { mutants } = await instrument(new Map([["big.ts", SOURCE]]));
  const board = new Switchboard(mutants.length, false);
  const isBig = await loaded(board);
  assert.deepEqual([isBig(9), isBig(10)], [false, true]);
  const wider = mutants.find(({ replacement }) => replacement === "n >= 9") ?? assert.fail();
  assert.deepEqual([wider.line, wider.column, wider.original], [1, 29, "n > 9"]);
  board.switchTo(wider.id);
  assert.deepEqual([isBig(8), isBig(9)], [false, true]);
  board.switchTo(NO_MUTANT);
  assert.equal(isBig(9), false);
});

test("a mutant that is reached more often than it may throws", async () => {
  const { mutants } = await instrument(new Map([["big.ts", SOURCE]]));
  const board = new Switchboard(mutants.length, false);
  const isBig = await loaded(board);
  board.switchTo(mutants.find(({ replacement }) => replacement === "n >= 9")?.id ?? assert.fail());
  board.hitLimit = 1;
  isBig(1);
  assert.throws(() => isBig(1), HitLimitError);
});

test("what is reached is counted while recording, and not otherwise", async () => {
  for (const recording of [true, false]) {
    const board = new Switchboard(99, recording);
    (await loaded(board))(1);
    assert.equal(
      board.counts.some((count) => count > 0),
      recording,
    );
  }
});

test("a WeakMap forgets when another mutant is switched on", () => {
  const board = new Switchboard(1, false);
  const memory = new board.WeakMap<object, number>();
  const key = {};
  memory.set(key, 1);
  assert.equal(memory.get(key), 1);
  board.switchTo(0);
  assert.equal(memory.has(key), false);
});

test("only the wording of sentences is left out: not names, tables, separators, nor other changes", () => {
  const leftOut = (original: string, operator = "StringLiteral"): boolean =>
    isLeftOut({ id: 0, file: "", operator, line: 1, column: 1, original, replacement: '""' });
  for (const wording of ['"no such header"', `claim ${FILLED}`, `${FILLED} decides`, `a ${FILLED}, and more`])
    assert.equal(leftOut(wording), true, wording);
  for (const other of [
    '"deny"',
    '", "',
    `${FILLED} ${FILLED}`,
    "`GET\n  HEAD PUT`",
    '"Bearer "',
    '"x-forwarded-for"',
    '""',
  ])
    assert.equal(leftOut(other), false, other);
  assert.equal(leftOut('"no such header" === text', "ConditionalExpression"), false);
});

test("the score counts what nothing reaches as not noticed, and what is left out not at all", () => {
  const mutant = { id: 0, file: "a/b.ts", operator: "", line: 1, column: 1, original: "", replacement: "" };
  const { total, survivors } = reportOf(
    (["killed", "timeout", "survived", "unreached", "left-out"] as const).map((status) => ({
      mutant,
      status,
    })),
  );
  assert.equal(total.percent, 50);
  assert.deepEqual(
    survivors.map(({ status }) => status),
    ["survived", "unreached"],
  );
});

test("the copy that mutants run in has what tests import from elsewhere, and follows no later edit", () => {
  const root = mkdtempSync(join(tmpdir(), "bulwark-snapshot-"));
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  try {
    write("src/policy/a.ts", "export const a = 1;\n");
    write("test/policy/deep/a.test.ts", 'import { inFolder } from "../../resources/fixture.ts";\n');
    write("test/resources/fixture.ts", 'export * from "./text.ts";\nimport "../../src/policy/a.ts";\n');
    write("test/resources/text.ts", "export const inFolder = 1;\n");
    write("test/resources/other.test.ts", "");
    const snapshot = new Snapshot(root);
    write("test/resources/text.ts", "");
    assert.deepEqual(snapshot.files("**/*.ts"), [
      "src/policy/a.ts",
      "test/policy/deep/a.test.ts",
      "test/resources/fixture.ts",
      "test/resources/text.ts",
    ]);
    assert.match(snapshot.read("test/resources/text.ts"), /inFolder/);
    snapshot.remove();
    assert.equal(existsSync(snapshot.folder), false);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
