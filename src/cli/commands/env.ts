import { existsSync } from "node:fs";
import { Argument, type Command } from "commander";
import { findPod, simulatesExternal } from "../../control/find-pod.ts";
import { workloadSocket } from "../../control/workload-api/workload-sockets.ts";
import { workloadEnvironment } from "../../control/workload-environment.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { examples, parseCount, type StateOptions, stateOf, stateOption } from "../options.ts";
import { renderShellEnvironment } from "../render/shell-environment.ts";

export function configure(command: Command): void {
  command
    .addArgument(new Argument("<workload>", "`namespace/name`"))
    .addOption(stateOption())
    .option("--replica <n>", "which replica, from 0", parseCount(0, 9999), 0)
    .option("--format <format>", "`text` for a shell, or `json`", "text")
    .addHelpText(
      "after",
      `\nThe output holds the secret of the workload's sidecar: whoever has it can act as the workload.\n${examples(
        'eval "$(bulwark env team-a/app-a)" && curl https://www.ibm.com/',
        "bulwark env finance/account-auditor --replica 1",
      )}`,
    )
    .action(async (workload: string, options: StateOptions & { replica: number; format: string }) => {
      const state = stateOf(options);
      const { pod, assignments } = await findPod(state, workload, options.replica);
      if (pod.network !== undefined)
        throw new BulwarkError(
          "BW_CLI_INPUT",
          `in network namespaces applications need no variables: their traffic is captured. Be in the pod: \`bulwark shell ${workload}\``,
        );
      const variables = workloadEnvironment(
        state,
        pod,
        simulatesExternal(assignments),
        existsSync(workloadSocket(state, pod)),
      );
      process.stdout.write(
        options.format === "json"
          ? `${JSON.stringify(variables, undefined, 2)}\n`
          : renderShellEnvironment(variables),
      );
    });
}
