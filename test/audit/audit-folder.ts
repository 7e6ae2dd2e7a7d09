/** One mesh of a rule's folder, as `bulwark audit` reads it. */

import { existsSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { AuditContext, type AuditSettings } from "../../src/analysis/audit/audit-context.ts";
import type { AuditRule } from "../../src/analysis/audit/rule.ts";
import { type Audit, runRules } from "../../src/analysis/audit/run-rules.ts";
import { shippedAdvisories } from "../../src/analysis/trust/advisories/shipped-advisories.ts";
import type { SignatureVerdict } from "../../src/analysis/trust/signatures/signature-verdict.ts";
import type { TrustSettings } from "../../src/analysis/trust/trust-settings.ts";
import { certificateFacts } from "../../src/identity/certificate-facts.ts";
import { loadMesh } from "../../src/index.ts";

/** The day on which the meshes of the tests are audited. */
export const NOW = Date.UTC(2026, 10, 22);

/** Files in what is found are named as from the folder. */
export async function auditFolder(
  folder: string,
  rules: readonly AuditRule[],
  settings: Partial<AuditSettings> = {},
): Promise<Audit> {
  const { mesh, rejected, warnings } = await loadMesh([folder]);
  const audit = runRules(
    new AuditContext(
      mesh,
      rejected,
      { now: NOW, readCertificate: certificateFacts, ...settingsOf(folder), ...settings },
      warnings,
    ),
    rules,
  );
  const found = audit.found.map(({ finding, edits }) => ({
    finding: finding.file === undefined ? finding : { ...finding, file: relative(folder, finding.file) },
    edits,
  }));
  return { ...audit, found };
}

/** What the user would say on the command line: `settings.json` beside the meshes, by the meshes' names. */
interface WrittenSettings {
  readonly registries?: readonly string[];
  readonly signatures?: Readonly<Record<string, SignatureVerdict>>;
  /** The day that the shipped advisories are taken to be of. */
  readonly advisoriesDate?: string;
}

function settingsOf(folder: string): Partial<AuditSettings> {
  const file = join(folder, "..", "settings.json");
  if (!existsSync(file)) return {};
  const all: Readonly<Record<string, WrittenSettings>> = JSON.parse(readFileSync(file, "utf8"));
  const { registries, signatures, advisoriesDate } = all[basename(folder)] ?? {};
  const trust: TrustSettings = {
    ...(registries === undefined ? {} : { registries }),
    ...(signatures === undefined ? {} : { signatures: new Map(Object.entries(signatures)) }),
    ...(advisoriesDate === undefined ? {} : { advisories: { ...shippedAdvisories(), date: advisoriesDate } }),
  };
  return { trust };
}
