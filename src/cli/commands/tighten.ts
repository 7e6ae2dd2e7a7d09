import { type Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_THRESHOLDS } from "../../analysis/tighten/path-thresholds.ts";
import { examples, parseCount } from "../options.ts";
import { runTighten, type TightenOptionsOfCommand } from "../run-tighten.ts";

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function configure(command: Command): void {
  const { identifiers, words, patterns } = DEFAULT_THRESHOLDS;
  command
    .argument("<mesh...>", "folders or files of the mesh, as it is today")
    .option(
      "--flows <path>",
      "Bulwark's flow records as JSON lines, or a state folder; may be given again",
      collect,
    )
    .option(
      "--envoy <path>",
      "access logs of Envoy in JSON; NS/NAME=FILE says whose proxy's; may be given again",
      collect,
    )
    .option("--hubble <path>", "Hubble's flows in JSON; may be given again", collect)
    .option(
      "--ztunnel <path>",
      "access logs of Istio's ztunnel, as text or JSON; may be given again",
      collect,
    )
    .option(
      "--trust-addresses",
      "take pods' addresses in Envoy's logs for identities, where it logs no certificate's",
    )
    .option("--out <folder>", "write the resources there, a file each; without it nothing is written")
    .option("--sidecars", "also Sidecars with the hosts that clients asked for, and REGISTRY_ONLY")
    .option("--network", "also NetworkPolicies, for pods that none isolates today")
    .option(
      "--egress",
      "also what leads out: REGISTRY_ONLY, ServiceEntries for those namespaces that use them; with --network the ways out of pods",
    )
    .addOption(
      new Option("--inactive <what>", "workloads that nothing was seen to reach: leave them, or close them")
        .choices(["keep", "close"])
        .default("keep"),
    )
    .option(
      "--identifiers <n>",
      "so many values with digits in one place of a path make it {*}",
      parseCount(2, 1_000_000),
      identifiers,
    )
    .option(
      "--words <n>",
      "so many words in one place of a path, with the same continuations, make it {*}",
      parseCount(2, 1_000_000),
      words,
    )
    .option(
      "--patterns <n>",
      "more than so many paths of a caller are shortened to prefixes",
      parseCount(1, 1_000_000),
      patterns,
    )
    .option(
      "--leave-out-status <codes>",
      "HTTP statuses whose requests are not taken for needed: 404,405",
      parseStatuses,
    )
    .addOption(
      new Option("--format <format>", "how to print").choices(["text", "json", "markdown"]).default("text"),
    )
    .addOption(
      new Option("--semantics <semantics>", "what Istio does with these files, or Bulwark's own proxies")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .addHelpText("after", HELP)
    .action(async (mesh: readonly string[], options: TightenOptionsOfCommand) => {
      process.exitCode = await runTighten(mesh, options);
    });
}

function parseStatuses(text: string): readonly number[] {
  const codes = text.split(",").map(Number);
  if (codes.some((code) => !Number.isInteger(code) || code < 100 || code > 599))
    throw new InvalidArgumentError("Write HTTP statuses, as in 404,405.");
  return codes;
}

const HELP = `
The AuthorizationPolicies that the logged traffic needs, and no more: proven to let through nothing that today's do not, and every record asked again.
Records of refusals, failures and unknown callers grant nothing; what the logs cannot show is said (docs/tighten.md).
Exit code: 0 proposed, 3 the files, logs or the folder are not valid, or the logs show nothing, 1 Bulwark or the machine failed (a full disk), or a record would be refused: then nothing is written.
${examples(
  "bulwark tighten examples/tighten/mesh.yaml --flows examples/tighten/flows.jsonl",
  "bulwark tighten deploy --flows .bulwark --out tightened",
  "bulwark tighten deploy --flows .bulwark --sidecars --network",
  "bulwark tighten deploy --envoy shop/orders=orders.log --format markdown",
)}`;
