import type { Command } from "commander";
import { stopMesh } from "../../control/stop-mesh.ts";
import { examples, type StateOptions, stateOf, stateOption } from "../options.ts";

export function configure(command: Command): void {
  command
    .addOption(stateOption())
    .addHelpText("after", examples("bulwark down", "bulwark down --state /var/lib/bulwark"))
    .action(async (options: StateOptions) => {
      const stopped = await stopMesh(stateOf(options));
      const text = stopped.length === 0 ? "nothing was running" : `stopped: ${stopped.join(", ")}`;
      process.stdout.write(`${text}\n`);
    });
}
