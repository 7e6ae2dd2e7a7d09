import type { Command } from "commander";
import type { RestoreReport } from "../../control/revocation/messages.ts";
import { askControl } from "../ask-control.ts";
import { examples, formatOption, type StateOptions, stateOf, stateOption } from "../options.ts";
import { plain } from "../render/style.ts";
import { revocationTarget } from "../revocation-target.ts";

interface UnblockOptions extends StateOptions {
  readonly format: string;
  readonly workload?: string;
}

export function configure(group: Command): void {
  group
    .command("unblock")
    .description("lift the block of an identity, and let its pods have certificates again")
    .argument("[spiffe-id]", "the identity")
    .option("--workload <ns/name>", "the identity that this workload runs as")
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText("after", examples("bulwark ca unblock spiffe://cluster.local/ns/old/sa/app"))
    .action(async (argument: string | undefined, options: UnblockOptions) => {
      const target = revocationTarget(argument, options.workload);
      const report = (await askControl(stateOf(options), "ca.unblock", target)) as RestoreReport;
      if (options.format === "json") {
        process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
        return;
      }
      const { identity, pods } = report;
      const whose = pods.length === 0 ? "no pod runs as it" : `new tokens for ${pods.join(", ")}`;
      process.stdout.write(`${plain(identity)} is blocked no more: ${plain(whose)}\n`);
    });
}
