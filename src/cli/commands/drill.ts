import type { Command } from "commander";
import { examples, formatOption, stateOption } from "../options.ts";
import { type DrillOptions, runDrill } from "../run-drill.ts";

export function configure(group: Command): void {
  group
    .command("key-leak")
    .description("leak a workload's key on purpose, use it, and measure: detect, revoke, cut, rotate, verify")
    .option("--workload <ns/name>", "whose key leaks (default: the first that may call another)")
    .addOption(stateOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
On a running mesh, for real: the workload's identity is revoked, its connections are cut, and it is back with new keys and tokens
about two seconds later. Nothing else is touched. Whatever happens, also on Ctrl-C, the leaked certificate ends revoked and the
workload is let back in.

Exit code: 0 every step went as it should, 2 one did not, 3 no such workload, 130 Ctrl-C, 1 failed.
${examples("bulwark drill key-leak", "bulwark drill key-leak --workload team-a/app-a --format json | jq '.steps[] | {step, tookMs}'")}`,
    )
    .action(async (options: DrillOptions) => {
      process.exitCode = await runDrill(options);
    });
  group.addHelpText("after", examples("bulwark drill key-leak", "bulwark drill key-leak --help"));
}
