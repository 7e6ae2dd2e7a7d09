import { type Command, Option } from "commander";
import { collect, examples } from "../options.ts";
import { MAP_FORMATS, type MapOptions, runMap } from "../run-map.ts";

export function configure(command: Command): void {
  command
    .argument("<paths...>", "folders or files of Kubernetes and Istio YAML")
    .option("--network-only", "by network policies alone, without the mesh's own policies")
    .addOption(new Option("--format <format>", "how to print").choices(MAP_FORMATS).default("text"))
    .option(
      "--from <end>",
      "only from this workload (name or namespace/name), or `outside`; several times",
      collect,
    )
    .option("--to <end>", "only to this workload, or `outside`; several times", collect)
    .option("--focus <workload>", "only what this workload has to do with; several times", collect)
    .option("--namespace <name>", "only what has an end in this namespace; several times", collect)
    .option("--exposure", "only what has an end outside: addresses, or `{ingress-controller}`")
    .option("--ipv6", "also the IPv6 addresses outside")
    .addOption(
      new Option(
        "--blocks <reading>",
        "blocks of addresses in policies: the outside alone, or pods in them, too",
      )
        .choices(["outside", "addresses"])
        .default("outside"),
    )
    .option("--past-proxies", "also UDP and SCTP to pods with a proxy, which it does not see")
    .addOption(
      new Option("--semantics <semantics>", "what Istio does, or what Bulwark's own proxies do")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .addOption(
      new Option("--fail-on <what>", "end with 2 where lines are not analysed").choices(["not-analysed"]),
    )
    .addHelpText("after", HELP)
    .action(async (paths: string[], options: MapOptions) => {
      process.exitCode = await runMap(paths, options);
    });
}

const HELP = `
Exit code: 0 printed, 2 with --fail-on: lines are not analysed, 3 the files are not valid, 1 Bulwark failed.
${examples(
  "bulwark map examples/payroll",
  "bulwark map examples/payroll --to finance/payroll --format json",
  "bulwark map examples/egress --network-only",
  "bulwark map examples/egress --network-only --exposure",
  "bulwark map . --network-only --format json > connections.json",
  "bulwark map . --network-only --focus finance/payroll --format mermaid",
)}`;
