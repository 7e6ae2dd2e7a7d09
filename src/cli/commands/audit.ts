import { type Command, InvalidArgumentError, Option } from "commander";
import { FINDING_SEVERITIES } from "../../analysis/audit/finding.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { collect, examples } from "../options.ts";
import { type AuditOptionsOfCommand, runAudit } from "../run-audit.ts";
import { FRAMEWORK_NAMES } from "../run-compliance.ts";
import { addTrustOptions, updateStoredAdvisories } from "../trust/trust-options.ts";

export function configure(command: Command): void {
  addTrustOptions(command)
    .argument("[mesh...]", "folders or files of the mesh")
    .addOption(
      new Option("--format <format>", "how to print")
        .choices(["text", "json", "sarif", "markdown", "html"])
        .default("text"),
    )
    .addOption(
      new Option("--severity <severity>", "the least that is told of")
        .choices(FINDING_SEVERITIES)
        .default("info"),
    )
    .addOption(
      new Option("--fail-on <severity>", "the least that ends with exit code 2")
        .choices([...FINDING_SEVERITIES, "never"])
        .default("medium"),
    )
    .option("--rule <id>", "only this rule (BW0128, or IST0128 of istioctl); may be given again", collect)
    .option("--skip <id>", "all rules but this one; may be given again", collect)
    .option("--fix", "mend in the files what can be mended safely, and change nothing else")
    .option("--dry-run", "with --fix: print the patch, and write nothing")
    .option(
      "--as-of <day>",
      "judge certificates, suppressions and advisories as on this day (2027-01-31)",
      parseDay,
    )
    .option("--update <file>", "store newer advisories (docs/trust.md), and audit nothing")
    .option("--force", "with --update: also an older file, or one that leaves out what is known")
    .addOption(
      new Option("--framework <name>", "a report on the controls of a framework instead of findings").choices(
        FRAMEWORK_NAMES,
      ),
    )
    .addHelpText("after", HELP)
    .action(async (mesh: readonly string[], options: AuditOptionsOfCommand & UpdateOptions) => {
      if (options.update !== undefined) update(mesh, options.update, options.force === true);
      else if (mesh.length > 0) process.exitCode = await runAudit(mesh, options);
      else throw new BulwarkError("BW_CLI_INPUT", "name the folders or files of the mesh");
    });
}

interface UpdateOptions {
  readonly update?: string;
  readonly force?: true;
}

function update(mesh: readonly string[], file: string, force: boolean): void {
  if (mesh.length > 0)
    throw new BulwarkError("BW_CLI_INPUT", "`--update` audits nothing: leave the mesh out, or `--update`");
  process.stdout.write(updateStoredAdvisories(file, force, Date.now()));
}

/** Noon of the day, UTC, in milliseconds since the epoch. */
function parseDay(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T12:00:00Z`) : Number.NaN;
  // A day that the month does not have is read as one of the next.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(text))
    throw new InvalidArgumentError("Write a day as in 2027-01-31.");
  return ms;
}

const HELP = `
Every rule has a page: \`bulwark explain BW0128\`. A finding that is accepted is suppressed on its resource, for a reason and until a day:
  metadata: {annotations: {bulwark.dev/suppress: "BW0128 until 2027-01-31: why"}}
Exit code: 0 nothing of --fail-on's weight, 2 something, 3 the files or the arguments are not valid, 1 Bulwark failed.
${examples(
  "bulwark audit examples/payroll",
  "bulwark audit deploy --format sarif > audit.sarif",
  "bulwark audit deploy --format html > audit.html",
  "bulwark audit deploy --fix --dry-run",
  "bulwark audit deploy --framework pci-dss --format html > report.html",
  "bulwark audit deploy --trusted-registry gcr.io/team --signatures signatures --signature-key cosign.pub",
  "bulwark audit --update advisories.json",
)}`;
