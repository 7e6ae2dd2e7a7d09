/** Every rule over its own meshes: `bad` gives exactly what expected.json says, `good` and `fixed` nothing. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { AuditContext } from "../../src/analysis/audit/audit-context.ts";
import type { Finding } from "../../src/analysis/audit/finding.ts";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { runRules } from "../../src/analysis/audit/run-rules.ts";
import { EditedFiles } from "../../src/cli/audit-fixes.ts";
import { certificateFacts } from "../../src/identity/certificate-facts.ts";
import { loadMesh } from "../../src/index.ts";
import { auditFolder, NOW } from "./audit-folder.ts";

const RULES = join(import.meta.dirname, "rules");

/** What is not said is not compared; a title is a part of the whole. */
type Expected = Partial<Finding>;

test("ids stand once each, in order, and each has its folder of meshes", () => {
  const ids = AUDIT_RULES.map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)].sort());
  assert.deepEqual(
    readdirSync(RULES).filter((id) => !ids.some((rule) => rule === id)),
    [],
  );
});

for (const rule of AUDIT_RULES) {
  const folder = join(RULES, rule.id);

  test(`${rule.id} finds ${rule.title}, there and nowhere else`, async () => {
    const expected: readonly Expected[] = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8"));
    assert.ok(expected.length > 0);
    const { found } = await auditFolder(join(folder, "bad"), [rule]);
    const said = found.map(({ finding }) => finding);
    assert.equal(said.length, expected.length, JSON.stringify(said, undefined, 1));
    const left = [...said];
    for (const one of expected) {
      const index = left.findIndex((finding) => isAs(finding, one));
      assert.ok(index >= 0, `${JSON.stringify(one)} is not among ${JSON.stringify(left, undefined, 1)}`);
      left.splice(index, 1);
    }
  });

  test(`${rule.id}: what its edits make of the bad mesh is the mended one`, async () => {
    const { mesh, rejected, warnings } = await loadMesh([join(folder, "bad")]);
    const { found } = runRules(
      new AuditContext(mesh, rejected, { now: NOW, readCertificate: certificateFacts }, warnings),
      [rule],
    );
    const files = new EditedFiles();
    for (const { edits } of found) assert.ok(files.apply(edits));
    for (const { file, after } of files.changed())
      assert.equal(after, readFileSync(join(folder, "fixed", relative(join(folder, "bad"), file)), "utf8"));
  });

  for (const mesh of ["good", "fixed"])
    test(`${rule.id} is silent about its ${mesh} mesh`, async () => {
      assert.ok(existsSync(join(folder, mesh)));
      const { found } = await auditFolder(join(folder, mesh), [rule]);
      assert.deepEqual(
        found.map(({ finding }) => finding.title),
        [],
      );
    });
}

function isAs(finding: Finding, expected: Expected): boolean {
  return Object.entries(expected).every(([key, value]) => {
    const said = finding[key as keyof Finding];
    if (key === "title") return String(said).includes(String(value));
    return JSON.stringify(said) === JSON.stringify(value);
  });
}
