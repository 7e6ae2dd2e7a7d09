import type { Command } from "commander";
import { connectAdmin } from "../../control/control-link.ts";
import type { StatusReport } from "../../control/messages.ts";
import { examples, formatOption, type StateOptions, stateOf, stateOption } from "../options.ts";
import { renderStatus } from "../render/status.ts";

export function configure(command: Command): void {
  command
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText("after", examples("bulwark status", "bulwark status --format json | jq '.pods[].identity'"))
    .action(async (options: StateOptions & { format: string }) => {
      const peer = await connectAdmin(stateOf(options));
      const report = (await peer.request("status", {}, 10_000)) as StatusReport;
      peer.close();
      process.stdout.write(
        options.format === "json"
          ? `${JSON.stringify(report, undefined, 2)}\n`
          : renderStatus(report, new Date()),
      );
    });
}
