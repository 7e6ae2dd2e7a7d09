import type { Command } from "commander";
import { connectAdmin } from "../../control/control-link.ts";
import type { CaReport } from "../../control/revocation/messages.ts";
import { EXIT } from "../exit-code.ts";
import { examples, formatOption, parseCount, type StateOptions, stateOf, stateOption } from "../options.ts";
import { renderCa } from "../render/ca-status.ts";

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
      const peer = await connectAdmin(stateOf(options));
      const params = { limit: options.limit, ended: options.ended === true };
      const report = (await peer.request("ca.status", params, 30_000)) as CaReport;
      peer.close();
      process.stdout.write(
        options.format === "json"
          ? `${JSON.stringify(report, undefined, 2)}\n`
          : renderCa(report, new Date()),
      );
      if (options.check === true && report.alerts.length > 0) process.exitCode = EXIT.denied;
    });
}
