import type { Command } from "commander";
import type { CaReport } from "../../control/revocation/messages.ts";
import type { RotationReport } from "../../control/rotation/messages.ts";
import { askControl } from "../ask-control.ts";
import { EXIT } from "../exit-code.ts";
import { examples, formatOption, parseCount, type StateOptions, stateOf, stateOption } from "../options.ts";
import { renderCa } from "../render/ca-status.ts";
import { renderRotation } from "../render/rotation.ts";

interface CaStatusOptions extends StateOptions {
  readonly format: string;
  readonly limit: number;
  readonly ended?: boolean;
  readonly check?: boolean;
}

export function configure(group: Command): void {
  group
    .command("status")
    .description("every certificate: serial, identity, issuer, end and status; what is not as it should be")
    .addOption(stateOption())
    .addOption(formatOption())
    .option("-n, --limit <n>", "the newest so many", parseCount(1, 10_000), 200)
    .option("--ended", "those that have ended, too")
    .option("--check", "exit with 2 when there is an alert")
    .addHelpText(
      "after",
      examples("bulwark ca status", "bulwark ca status --check --format json | jq '.alerts'"),
    )
    .action(async (options: CaStatusOptions) => {
      const params = { limit: options.limit, ended: options.ended === true };
      const report = (await askControl(stateOf(options), "ca.status", params)) as CaReport;
      const rotation = (await askControl(stateOf(options), "ca.rotation", {})) as RotationReport;
      process.stdout.write(
        options.format === "json"
          ? `${JSON.stringify({ ...report, rotation }, undefined, 2)}\n`
          : `${renderRotation(rotation)}${renderCa(report, new Date())}`,
      );
      if (options.check === true && report.alerts.length > 0) process.exitCode = EXIT.denied;
    });
}
