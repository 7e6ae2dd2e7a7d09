import type { Command } from "commander";
import { flowSource } from "../../control/flow-source.ts";
import { MAX_FLOWS_PAGE } from "../../control/messages.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { FLOW_FILTER_FLAGS, parseFlowFilterOptions, printFlowFilter } from "../../telemetry/flow-filter.ts";
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
      const source = await flowSource(stateOf(state === undefined ? {} : { state }));
      const print = flowPrinter(format === "json", process.stdout);
      if (follow === true) await source.follow(filter, print);
      else print(await source.newest(filter, limit));
      source.close();
    });
}
