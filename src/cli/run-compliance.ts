import type { AuditContext } from "../analysis/audit/audit-context.ts";
import type { Audit } from "../analysis/audit/run-rules.ts";
import { FRAMEWORKS } from "../analysis/compliance/frameworks.ts";
import { complianceReport } from "../analysis/compliance/report.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import {
  complianceHtml,
  complianceJson,
  complianceMarkdown,
  complianceText,
  type DatedReport,
} from "./render/compliance.ts";

export const FRAMEWORK_NAMES: readonly string[] = FRAMEWORKS.map(({ name }) => name);

export interface ComplianceOptions {
  readonly framework: string;
  readonly format: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly files: readonly string[];
  readonly advisories: DatedReport["advisories"];
}

/** @returns 2 where a control fails. @throws {BulwarkError} BW_CLI_INPUT where the format is none of a report's */
export async function runCompliance(
  context: AuditContext,
  audit: Audit,
  { framework: name, format, now, files, advisories }: ComplianceOptions,
): Promise<ExitCode> {
  const render = RENDERERS[format];
  if (render === undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `a report has no format ${format}: ${Object.keys(RENDERERS).join(", ")}`,
    );
  const framework = FRAMEWORKS.find((one) => one.name === name);
  if (framework === undefined) throw new Error(`BUG: no framework ${name}`);
  const findings = [...audit.found, ...audit.suppressed].map(({ finding }) => finding);
  const report = await complianceReport(framework, context, findings, "istio");
  process.stdout.write(render({ ...report, time: new Date(now).toISOString(), files, advisories }));
  return report.controls.some(({ status }) => status === "fail") ? EXIT.denied : EXIT.ok;
}

const RENDERERS: Readonly<Record<string, (report: DatedReport) => string>> = {
  text: complianceText,
  json: complianceJson,
  markdown: complianceMarkdown,
  html: complianceHtml,
};
