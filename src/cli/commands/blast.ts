import { type Command, InvalidArgumentError, Option } from "commander";
import type { Mode } from "../../analysis/blast/modes.ts";
import { examples, parseCount } from "../options.ts";
import { BLAST_FORMATS } from "../render/blast.ts";
import { BLAST_FAILURES, type BlastOptions, runBlast } from "../run-blast.ts";

export function configure(command: Command): void {
  command
    .argument("<mesh...>", "folders or files of the mesh")
    .option(
      "--compromise <component>",
      "in full, what this one yields and reaches; without, every one with its score",
    )
    .option(
      "--compare <modes>",
      "the same mesh with its applications behind sidecars, and in ambient mode: sidecar,ambient",
      parseModes,
    )
    .addOption(new Option("--format <format>", "how to print").choices(BLAST_FORMATS).default("text"))
    .addOption(
      new Option("--semantics <semantics>", "what Istio does with these files, or Bulwark's own proxies")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .option("--witnesses <count>", "for so many steps a request is looked for", parseCount(0, 1_000_000), 500)
    .option("--cut [steps]", "which few changes shrink it most, in so many steps (3)", parseSteps)
    .option("--out <folder>", "write the changes of --cut there, a file each")
    .option("--baseline <file>", "tell what has grown and shrunk since this earlier answer of --format json")
    .addOption(
      new Option(
        "--fail-on <change>",
        "with --baseline: end with 2 where anything has grown, or the score is higher, or it cannot be told",
      ).choices(BLAST_FAILURES),
    )
    .addHelpText("after", HELP)
    .action(async (mesh: readonly string[], { cut, ...options }: Given) => {
      const steps = cut === true ? DEFAULT_STEPS : cut;
      process.exitCode = await runBlast(mesh, { ...options, ...(steps === undefined ? {} : { cut: steps }) });
    });
}

/** An option whose value may be left out is `true` then. */
type Given = Omit<BlastOptions, "cut"> & { readonly cut?: number | true };

const DEFAULT_STEPS = 3;
const parseSteps = parseCount(1, 20);

const MODES: readonly string[] = ["sidecar", "ambient"];

function parseModes(text: string): readonly Mode[] {
  const modes = text.split(",");
  if (modes.some((mode) => !MODES.includes(mode))) throw new InvalidArgumentError("Write sidecar,ambient.");
  return MODES.filter((mode) => modes.includes(mode)) as Mode[];
}

const HELP = `
Components: workload/NS/NAME, sidecar/NS/NAME, waypoint/NS/NAME, gateway/NS/NAME, node/NAME, ztunnel/NODE, cni/NODE, istiod, apiserver,
key/TRUST-DOMAIN/ns/NS/sa/ACCOUNT, token/NS/ACCOUNT. With one of them --format dot, mermaid and svg draw a graph. To reach is not to control: docs/blast.md says what each word means.
Exit code: 0 printed, 2 with --fail-on: it has grown, or it cannot be told, 3 the files, the baseline or the component are not valid, or there is no workload,
1 Bulwark failed.
${examples(
  "bulwark blast examples/compromise",
  "bulwark blast examples/compromise --compromise workload/shop/orders",
  "bulwark blast examples/compromise --compromise ztunnel/node-1 --format json",
  "bulwark blast examples/compromise --compromise workload/team-a/app-a --format svg > app-a.svg",
  "bulwark blast deploy --format json > blast.json",
  "bulwark blast deploy --baseline blast.json --fail-on grown --format markdown",
  "bulwark blast examples/compromise --compromise workload/ops/deployer --cut --out changes",
  "bulwark blast examples/compromise --compromise workload/shop/web --compare sidecar,ambient",
)}`;
