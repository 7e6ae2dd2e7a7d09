import { writeFileSync } from "node:fs";
import { AuditContext } from "../analysis/audit/audit-context.ts";
import { FINDING_SEVERITIES, type Finding, type FindingSeverity } from "../analysis/audit/finding.ts";
import type { AuditRule } from "../analysis/audit/rule.ts";
import { AUDIT_RULES } from "../analysis/audit/rules.ts";
import { type Audit, type FoundHere, runRules } from "../analysis/audit/run-rules.ts";
import { certificateFacts } from "../identity/certificate-facts.ts";
import { loadMesh } from "../index.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { suggestion } from "../resources/did-you-mean.ts";
import { EditedFiles, patchOf } from "./audit-fixes.ts";
import { keepVerdict } from "./closed-pipe.ts";

import { EXIT, type ExitCode } from "./exit-code.ts";
import { collectGarbage, makeObjectsYoung } from "./memory.ts";
import { type AuditReport, auditJson, auditMarkdown, auditText } from "./render/audit.ts";
import { auditHtml } from "./render/audit-html.ts";
import { auditSarif } from "./render/audit-sarif.ts";
import { plain } from "./render/style.ts";
import { runCompliance } from "./run-compliance.ts";
import { type AdvisoriesUsed, readTrust, type TrustOptions } from "./trust/trust-options.ts";

export interface AuditOptionsOfCommand extends TrustOptions {
  readonly format: "text" | "json" | "sarif" | "markdown" | "html";
  readonly framework?: string;
  readonly failOn: FindingSeverity | "never";
  readonly severity: FindingSeverity;
  readonly rule?: readonly string[];
  readonly skip?: readonly string[];
  readonly fix?: true;
  readonly dryRun?: true;
  /** Milliseconds since the epoch. */
  readonly asOf?: number;
}

/** Resources from which on their load leaves much behind. */
const MANY = 10_000;

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runAudit(
  sources: readonly string[],
  options: AuditOptionsOfCommand,
): Promise<ExitCode> {
  keepVerdict();
  const rules = chosenRules(options);
  checkReport(options, rules);
  if (options.dryRun === true && options.fix === undefined)
    throw new BulwarkError("BW_CLI_INPUT", "`--dry-run` says what `--fix` would change: give both");
  makeObjectsYoung();
  const { mesh, rejected, warnings } = await loadMesh(sources);
  if (mesh.resources.length > MANY) collectGarbage();
  const now = options.asOf ?? Date.now();
  const trust = await readTrust(new AuditContext(mesh, rejected, { now }), options, now);
  for (const note of trust.notes) process.stderr.write(`${plain(note)}\n`);
  const settings = { now, trust: trust.settings, readCertificate: certificateFacts };
  const context = new AuditContext(mesh, rejected, settings, warnings);
  const audit = runRules(context, rules);
  const { format, framework } = options;
  if (framework !== undefined) {
    const { advisories } = trust;
    return runCompliance(context, audit, { framework, format, now, files: sources, advisories });
  }
  const shown = audit.found.filter(({ finding }) => isAtLeast(finding, options.severity));
  if (options.fix === true) return fix(shown, options);
  const report = reportOf(audit, shown, trust.advisories);
  if (format !== "json") process.stdout.write(RENDERERS[format](report, rules));
  else for (const piece of auditJson(report)) process.stdout.write(piece);
  return exitCodeFor(shown, options.failOn);
}

/** A report rests on every rule. */
function checkReport({ framework, fix }: AuditOptionsOfCommand, rules: readonly AuditRule[]): void {
  if (framework === undefined || (rules.length === AUDIT_RULES.length && fix === undefined)) return;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    "`--framework` asks every rule, and changes nothing: leave `--rule`, `--skip` and `--fix` out",
  );
}

const RENDERERS = {
  text: auditText,
  markdown: auditMarkdown,
  sarif: auditSarif,
  html: auditHtml,
};

function reportOf(audit: Audit, shown: readonly FoundHere[], advisories: AdvisoriesUsed): AuditReport {
  const findings = shown.map(({ finding, edits }) => {
    const patch = patchOf(edits);
    return patch === undefined ? finding : { ...finding, patch };
  });
  return { findings, suppressed: audit.suppressed, rules: audit.rules, advisories };
}

/** Writes what can be mended safely, or shows it; what remains decides the exit code. */
function fix(shown: readonly FoundHere[], { dryRun, failOn }: AuditOptionsOfCommand): ExitCode {
  const files = new EditedFiles();
  const left: FoundHere[] = [];
  let mended = 0;
  for (const found of shown) {
    if (found.edits.length > 0 && files.apply(found.edits)) mended += 1;
    else left.push(found);
  }
  const changed = files.changed();
  if (dryRun === true) process.stdout.write(files.patch());
  else for (const { file, after } of changed) writeFileSync(file, after);
  const verb = dryRun === true ? "can be mended" : "mended";
  process.stderr.write(
    `${mended} ${mended === 1 ? "finding" : "findings"} ${verb} in ${changed.length} ${changed.length === 1 ? "file" : "files"}; ${left.length} left to you\n`,
  );
  return exitCodeFor(left, failOn);
}

function exitCodeFor(found: readonly FoundHere[], failOn: FindingSeverity | "never"): ExitCode {
  if (failOn === "never") return EXIT.ok;
  return found.some(({ finding }) => isAtLeast(finding, failOn)) ? EXIT.denied : EXIT.ok;
}

function isAtLeast({ severity }: Finding, least: FindingSeverity): boolean {
  return FINDING_SEVERITIES.indexOf(severity) <= FINDING_SEVERITIES.indexOf(least);
}

function chosenRules({ rule: only = [], skip = [] }: AuditOptionsOfCommand): readonly AuditRule[] {
  for (const id of [...only, ...skip]) findRule(id);
  return AUDIT_RULES.filter((rule) => (only.length === 0 || names(rule, only)) && !names(rule, skip));
}

function names(rule: AuditRule, ids: readonly string[]): boolean {
  return ids.some((id) => rule.id === id || Object.values(rule.same ?? {}).includes(id));
}

/** The rule of this id, Bulwark's own or another tool's. @throws {BulwarkError} BW_CLI_INPUT */
export function findRule(id: string): AuditRule {
  const found = AUDIT_RULES.find((rule) => names(rule, [id]));
  if (found !== undefined) return found;
  const meant = suggestion(
    id,
    AUDIT_RULES.map((rule) => rule.id),
  );
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `there is no rule \`${id}\`: ${meant === "" ? "`bulwark explain` lists them" : meant}`,
  );
}
