/** What `--fix` does is safe: no request is let in that was not, as `diff` proves of each rule's bad mesh and what its edits make of it. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test } from "node:test";
import { AuditContext } from "../../src/analysis/audit/audit-context.ts";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { runRules } from "../../src/analysis/audit/run-rules.ts";
import { EditedFiles } from "../../src/cli/audit-fixes.ts";
import { certificateFacts } from "../../src/identity/certificate-facts.ts";
import { loadMesh } from "../../src/index.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { NOW } from "./audit-folder.ts";

const RULES = join(import.meta.dirname, "rules");
/** Clients come to speak mutual TLS where servers ask for it: that is the mending, and the servers' own policies say whom it lets in. */
const SPEAK_MUTUAL_TLS = new Set(["BW0307", "BW0650", "BW0651"]);

interface Changes {
  readonly changes: readonly { readonly change: string }[];
  readonly clients: readonly { readonly gained: readonly string[]; readonly weakens: readonly string[] }[];
  readonly network: readonly unknown[];
}

const mending: string[] = [];
for (const id of readdirSync(RULES).sort()) {
  const bad = join(RULES, id, "bad");
  const { mesh, rejected, warnings } = await loadMesh([bad]);
  const rules = AUDIT_RULES.filter((rule) => rule.id === id);
  const audit = new AuditContext(mesh, rejected, { now: NOW, readCertificate: certificateFacts }, warnings);
  const files = new EditedFiles();
  for (const { edits } of runRules(audit, rules).found) assert.ok(files.apply(edits));
  const changed = files.changed();
  if (changed.length === 0) continue;
  mending.push(id);

  test(`${id}: its patch lets in nobody who was not, and sends nothing that was sealed in clear`, async () => {
    const after = mkdtempSync(join(tmpdir(), "bulwark-edits-"));
    try {
      cpSync(bad, after, { recursive: true });
      for (const { file, after: text } of changed) writeFileSync(join(after, relative(bad, file)), text);
      const { stdout, stderr, code } = await bulwark(["diff", bad, after, "--format", "json"]);
      assert.ok(code === 0 || code === 2, stderr);
      const { changes, clients, network }: Changes = JSON.parse(stdout);
      assert.deepEqual(
        [...new Set(changes.map(({ change }) => change))].filter((one) => one !== "narrowed"),
        [],
      );
      assert.deepEqual(network, []);
      assert.deepEqual(
        clients.flatMap(({ weakens }) => weakens),
        [],
      );
      const gained = new Set(clients.flatMap((client) => client.gained));
      if (!SPEAK_MUTUAL_TLS.has(id)) assert.deepEqual([...gained], []);
      else for (const one of gained) assert.match(one, /by mutual TLS of the mesh$/);
    } finally {
      rmSync(after, { recursive: true });
    }
  });
}

test("rules whose bad mesh has a patch", () => {
  assert.deepEqual(mending, ["BW0135", "BW0315", "BW0619", "BW0635", "BW0650", "BW0953"]);
});
