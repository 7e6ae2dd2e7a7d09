import type { Command } from "commander";
import { examples, parseCount, type StateOptions, stateOf, stateOption } from "../options.ts";
import { runShell } from "../run-shell.ts";

export interface ShellOptions extends StateOptions {
  readonly root?: boolean;
  readonly replica: number;
}

export function configure(command: Command): void {
  command
    .argument("<pod>", "a pod, or a workload for its first replica: `namespace/name`")
    .argument("[command...]", "what to run instead of a shell, after `--`")
    .addOption(stateOption())
    .option("--root", "as the pod's root: all rights over its network, none over the machine's")
    .option("--replica <n>", "which replica of a workload, from 0", parseCount(0, 9999), 0)
    .addHelpText(
      "after",
      `\nFor a mesh of \`up --substrate netns\`; needs root. The exit code is the command's.\n${examples(
        "bulwark shell team-a/app-a",
        "bulwark shell team-a/app-a -- curl -s https://www.ibm.com/",
        "bulwark shell team-a/app-a --root -- nft list ruleset",
      )}`,
    )
    .action(async (pod: string, words: string[], options: ShellOptions) => {
      process.exitCode = await runShell(stateOf(options), pod, words, options);
    });
}
