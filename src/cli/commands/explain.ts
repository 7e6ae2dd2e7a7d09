import type { Command } from "commander";
import { examples } from "../options.ts";
import { runExplain } from "../run-explain.ts";

export function configure(command: Command): void {
  command
    .argument(
      "[rule]",
      "a rule of `audit`: BW0106, or the name that another tool has for it (IST0106); all are listed without one",
    )
    .addHelpText("after", examples("bulwark explain", "bulwark explain BW0106", "bulwark explain IST0106"))
    .action((rule: string | undefined) => runExplain(rule));
}
