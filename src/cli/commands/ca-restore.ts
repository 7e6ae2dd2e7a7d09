import type { Command } from "commander";
import { connectAdmin } from "../../control/control-link.ts";
import type { RestoreReport } from "../../control/revocation/messages.ts";
import { examples, type StateOptions, stateOf, stateOption } from "../options.ts";
import { plain } from "../render/style.ts";
import { revocationTarget } from "../revocation-target.ts";

export function configure(group: Command): void {
  group
    .command("restore")
    .description("let a revoked identity's pods have certificates again; what was revoked stays so")
    .argument("[spiffe-id]", "the identity")
    .option("--workload <ns/name>", "the identity that this workload runs as")
    .addOption(stateOption())
    .addHelpText("after", examples("bulwark ca restore --workload team-a/app-a"))
    .action(async (argument: string | undefined, options: StateOptions & { workload?: string }) => {
      const target = revocationTarget(argument, options.workload);
      const peer = await connectAdmin(stateOf(options));
      const report = (await peer.request("ca.restore", target, 30_000)) as RestoreReport;
      peer.close();
      process.stdout.write(`${plain(report.identity)}: new tokens for ${report.pods.join(", ")}\n`);
    });
}
