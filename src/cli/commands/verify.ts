import { type Command, Option } from "commander";
import { examples } from "../options.ts";
import { BUILT_IN_NAMES, runVerify, type VerifyOptionsOfCommand } from "../run-verify.ts";

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function configure(command: Command): void {
  command
    .argument("<mesh...>", "folders or files of the mesh; AccessInvariants in them are verified")
    .option("--invariants <path>", "a file or folder of AccessInvariants; may be given again", collect)
    .option("--builtin <name>", `${BUILT_IN_NAMES.join(", ")}, or all; may be given again`, collect)
    .addOption(
      new Option("--format <format>", "how to print").choices(["text", "json", "markdown"]).default("text"),
    )
    .addOption(
      new Option("--semantics <semantics>", "what Istio does with these files, or Bulwark's own proxies")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .addHelpText("after", HELP)
    .action(async (mesh: readonly string[], options: VerifyOptionsOfCommand) => {
      process.exitCode = await runVerify(mesh, options);
    });
}

const HELP = `
An AccessInvariant (apiVersion bulwark.dev/v1) lists rules as AuthorizationPolicy has them under one of \`never\`, \`always\` and \`only\`.
Proven over all requests, not sampled, for the server's side of every workload behind a sidecar (docs/verify.md says what that leaves out).
Exit code: 0 all is proven, 2 something is violated or could not be proven, 3 the files are not valid, 1 Bulwark failed.
${examples(
  "bulwark verify examples/verify",
  "bulwark verify deploy --invariants invariants --format markdown",
  "bulwark verify deploy --builtin no-plaintext --builtin sensitive",
)}`;
