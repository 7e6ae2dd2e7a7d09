import { type Command, Option } from "commander";
import { collect, examples } from "../options.ts";
import { type FirewallOptions, runFirewallExport } from "../run-firewall.ts";

export function configure(group: Command): void {
  group
    .command("export")
    .description("print rules that make the egress gateways the only way out")
    .argument("<paths...>", "folders or files of Kubernetes and Istio YAML")
    .addOption(
      new Option("--format <format>", "for a router's nft, or for kubectl")
        .choices(["nftables", "networkpolicy"])
        .makeOptionMandatory(),
    )
    .option("--cluster <cidr>", "nftables: addresses of pods and nodes, several times", collect)
    .option(
      "--gateway <address>",
      "nftables: address or block that gateways come from, several times (default: their status.podIP)",
      collect,
    )
    .addHelpText("after", EXAMPLES)
    .action(async (paths: string[], options: FirewallOptions) => {
      process.exitCode = await runFirewallExport(paths, options);
    });
  group.addHelpText("after", EXAMPLES);
}

const EXAMPLES = examples(
  "bulwark firewall export examples/egress --format networkpolicy | kubectl apply -f -",
  "bulwark firewall export examples/egress --format nftables --cluster 10.0.0.0/8 --gateway 10.3.0.7 | nft -f -",
);
