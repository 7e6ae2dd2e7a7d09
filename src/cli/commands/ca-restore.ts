import type { Command } from "commander";
import type { RestoreReport } from "../../control/revocation/messages.ts";
import { askControl } from "../ask-control.ts";
import { examples, formatOption, type StateOptions, stateOf, stateOption } from "../options.ts";
import { plain } from "../render/style.ts";
import { revocationTarget } from "../revocation-target.ts";

interface RestoreOptions extends StateOptions {
  readonly format: string;
  readonly workload?: string;
}

export function configure(group: Command): void {
  group
    .command("restore")
    .description("let a revoked identity's pods have certificates again; what was revoked stays so")
    .argument("[spiffe-id]", "the identity")
    .option("--workload <ns/name>", "the identity that this workload runs as")
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText("after", examples("bulwark ca restore --workload team-a/app-a"))
    .action(async (argument: string | undefined, options: RestoreOptions) => {
      const target = revocationTarget(argument, options.workload);
      const report = (await askControl(stateOf(options), "ca.restore", target)) as RestoreReport;
      process.stdout.write(
        options.format === "json"
          ? `${JSON.stringify(report, undefined, 2)}\n`
          : `${plain(report.identity)}: new tokens for ${report.pods.join(", ")}\n`,
      );
    });
}
