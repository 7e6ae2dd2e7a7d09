import type { Command } from "commander";
import { connectAdmin } from "../../control/control-link.ts";
import { flowSource } from "../../control/flow-source.ts";
import { MAX_FLOWS_PAGE } from "../../control/messages.ts";
import type { StateFolder } from "../../control/state-folder.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type Assignments, NO_ASSIGNMENTS } from "../../substrate/assignment.ts";
import {
  FLOW_FILTER_FLAGS,
  type FlowFilter,
  parseFlowFilterOptions,
  printFlowFilter,
} from "../../telemetry/flow-filter.ts";
import {
  collect,
  examples,
  formatOption,
  parseCount,
  type StateOptions,
  stateOf,
  stateOption,
} from "../options.ts";
import { flowPrinter } from "../render/flow-lines.ts";
import { plain } from "../render/style.ts";
import { unknownWorkloads } from "../unknown-workloads.ts";

interface FlowsOptions extends StateOptions {
  readonly format: string;
  readonly follow?: boolean;
  readonly limit: number;
}

export function configure(command: Command): void {
  command
    .addOption(stateOption())
    .addOption(formatOption())
    .option("-f, --follow", "go on with what happens from now")
    .option(
      "-n, --limit <n>",
      `the newest so many, ${MAX_FLOWS_PAGE} at most`,
      parseCount(1, MAX_FLOWS_PAGE),
      50,
    );
  for (const { name, value, help } of FLOW_FILTER_FLAGS)
    command.option(`--${name} <${value}>`, help, collect);
  command
    .addHelpText(
      "after",
      examples(
        "bulwark flows --follow",
        "bulwark flows --verdict deny --since 10m",
        "bulwark flows --from team-a/app-a --format json | jq .sni",
        `bulwark flows -n ${MAX_FLOWS_PAGE} --since 1h --until 30m   # more than that: by stretches of time, or from flows.sqlite`,
      ),
    )
    .action(async ({ state, format, follow, limit, ...filters }: FlowsOptions) => {
      const parsed = parseFlowFilterOptions(filters as Record<string, readonly string[]>, Date.now());
      if (!parsed.ok) throw new BulwarkError("BW_CLI_INPUT", parsed.errors.join("\nbulwark: "));
      const filter = printFlowFilter(parsed.filter);
      const folder = stateOf(state === undefined ? {} : { state });
      const source = await flowSource(folder);
      const print = flowPrinter(format === "json", process.stdout);
      if (follow === true) {
        await tellUnknown(folder, parsed.filter);
        await source.follow(filter, print);
      } else {
        const flows = await source.newest(filter, limit);
        print(flows);
        if (flows.length === 0) await tellUnknown(folder, parsed.filter);
      }
      source.close();
    });
}

/** Says on standard error which of the workloads that are asked for the mesh lacks; nothing where none runs to be asked. */
async function tellUnknown(state: StateFolder, filter: FlowFilter): Promise<void> {
  if (unknownWorkloads(filter, new Set()).length === 0) return;
  try {
    const peer = await connectAdmin(state);
    const assignments = (await peer.request("pods", {}, 10_000)) as Assignments | null;
    peer.close();
    const known = new Set((assignments ?? NO_ASSIGNMENTS).pods.map(({ workload }) => workload));
    for (const line of unknownWorkloads(filter, known)) process.stderr.write(`bulwark: ${plain(line)}\n`);
  } catch (error) {
    if (!(error instanceof BulwarkError)) throw error;
  }
}
