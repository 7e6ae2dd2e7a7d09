import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const PAGE = "docs/semantics.md";

/** Rows of all tables, without their heads: rule, test, file. */
function rows(): readonly (readonly string[])[] {
  return readFileSync(PAGE, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| rule | test | file |"))
    .map((line) => line.slice(2, -2).split(" | "));
}

test("every rule of the table of Istio's rules has a test of the name that it tells", () => {
  const read = new Map<string, string>();
  const all = rows();
  assert.ok(all.length > 80);
  for (const [rule, name, file, ...more] of all) {
    assert.ok(rule && name && file && more.length === 0, `${rule}: three columns`);
    const text = read.get(file) ?? readFileSync(file, "utf8");
    read.set(file, text);
    assert.ok(text.includes(name), `${rule}: ${file} has no test "${name}"`);
  }
});

test("no rule stands in the table twice", () => {
  const rules = rows().map(([rule]) => rule);
  assert.equal(new Set(rules).size, rules.length);
});
