import { type Command, Option } from "commander";
import { BUILT_INS } from "../../analysis/verify/built-in-invariants.ts";
import { NETWORK_BUILT_INS } from "../../analysis/verify/network-invariants.ts";
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
An AccessInvariant says what is to be so, whatever policies say, by rules as AuthorizationPolicy has them:

  apiVersion: bulwark.dev/v1
  kind: AccessInvariant
  metadata: {name: orders-from-web, namespace: shop}
  spec:
    selector: {matchLabels: {app: orders}}   # none: the whole namespace
    only:                                    # or never, or always
      - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]

Built in:
${[...BUILT_INS, ...NETWORK_BUILT_INS].map(({ name, summary }) => `  ${name.padEnd(22)} ${summary}`).join("\n")}
  ${"all".padEnd(22)} those of them that the mesh has anything for

Proven means: over all requests, not sampled. It is the server's side of workloads that is judged (docs/verify.md says what that leaves out).
What is violated comes with a request that \`bulwark can\` answers as told, and with the rule that decides.
Exit code: 0 all is proven, 2 something is violated or could not be proven, 3 the files are not valid, 1 Bulwark failed.
${examples(
  "bulwark verify examples/verify",
  "bulwark verify deploy --invariants invariants --format markdown",
  "bulwark verify deploy --builtin no-plaintext --builtin sensitive",
)}`;
