import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { PAGES, rulePages } from "../../tools/rule-pages.ts";
import { bulwark } from "../cli/run-bulwark.ts";

test("docs/rules is what `node tools/rule-pages.ts` writes", async () => {
  const pages = await rulePages();
  assert.deepEqual(readdirSync(PAGES).sort(), [...pages.keys()].sort());
  for (const [file, text] of pages) assert.equal(readFileSync(join(PAGES, file), "utf8"), text, file);
});

test("`explain` shows a rule's page, by its own id and by that of another tool, and lists all without one", async () => {
  const page = readFileSync(join(PAGES, "BW0106.md"), "utf8");
  for (const id of ["BW0106", "IST0106"]) {
    const { code, stdout } = await bulwark(["explain", id]);
    assert.equal(code, 0);
    assert.equal(stdout, page);
  }
  const { stdout } = await bulwark(["explain"]);
  for (const { id, title } of AUDIT_RULES)
    assert.match(stdout, new RegExp(`${id} .*${RegExp.escape(title)}`));
});

test("`explain` knows the rule that was meant, and ends with 3", async () => {
  const { code, stderr } = await bulwark(["explain", "BW106"]);
  assert.equal(code, 3);
  assert.match(stderr, /there is no rule `BW106`: did you mean `BW0106`/);
});
