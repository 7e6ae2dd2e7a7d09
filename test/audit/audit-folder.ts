/** One mesh of a rule's folder, as `bulwark audit` reads it. */
import { relative } from "node:path";
import { AuditContext, type AuditSettings } from "../../src/analysis/audit/audit-context.ts";
import type { AuditRule } from "../../src/analysis/audit/rule.ts";
import { type Audit, runRules } from "../../src/analysis/audit/run-rules.ts";
import { loadMesh } from "../../src/index.ts";

/** The day on which the meshes of the tests are audited. */
export const NOW = Date.UTC(2026, 10, 22);

/** Files in what is found are named as from the folder. */
export async function auditFolder(
  folder: string,
  rules: readonly AuditRule[],
  settings: Partial<AuditSettings> = {},
): Promise<Audit> {
  const { mesh, rejected } = await loadMesh([folder]);
  const audit = runRules(new AuditContext(mesh, rejected, { now: NOW, ...settings }), rules);
  const found = audit.found.map(({ finding, edits }) => ({
    finding: finding.file === undefined ? finding : { ...finding, file: relative(folder, finding.file) },
    edits,
  }));
  return { ...audit, found };
}
