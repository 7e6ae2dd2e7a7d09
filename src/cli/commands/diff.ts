import { type Command, Option } from "commander";
import { examples } from "../options.ts";
import { type DiffOptionsOfCommand, FAILURES, runDiff } from "../run-diff.ts";

export function configure(command: Command): void {
  command
    .argument(
      "<old>",
      "folder, file or git revision; or OLD..NEW of revisions, OLD...NEW from their common commit on",
    )
    .argument("[new]", "folder, file or git revision")
    .option("--path <path>", "with revisions: the folder of the mesh in the repository")
    .addOption(
      new Option("--format <format>", "how to print").choices(["text", "json", "markdown"]).default("text"),
    )
    .addOption(
      new Option("--semantics <semantics>", "what Istio does with these files, or Bulwark's own proxies")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .addOption(
      new Option(
        "--fail-on <change>",
        "end with 2 where there is such a change, or it cannot be told",
      ).choices(FAILURES),
    )
    .option("--watch", "compare again at each change of the files, until Ctrl-C")
    .addHelpText("after", HELP)
    .action(async (old: string, now: string | undefined, options: DiffOptionsOfCommand) => {
      process.exitCode = await runDiff(now === undefined ? [old] : [old, now], options);
    });
}

const HELP = `
Computed, not sampled: what workloads behind sidecars or ztunnels let in (mutual TLS, tokens, AuthorizationPolicies), what gateways and waypoints let in
and where they send, where sidecars and ztunnels send (routes, ServiceEntries, egress); and network policies. What is not compared, and has changed, is said: keys
of tokens, accounts, authorizers, certificates of servers, EnvoyFilters.
Exit code: 0 told, 2 with --fail-on: there is such a change, or it cannot be told, 3 the files are not valid, 1 Bulwark failed.
${examples(
  "bulwark diff examples/diff/before examples/diff/after",
  "bulwark diff main...HEAD --path deploy --fail-on widened",
  "bulwark diff examples/diff/before examples/diff/after --format markdown",
)}`;
