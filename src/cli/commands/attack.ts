import { type Command, Option } from "commander";
import { SUBSTRATES } from "../../substrate/substrate.ts";
import { collect, examples, formatOption, parseCertificateLifetime, stateOption } from "../options.ts";
import { type AttackOptions, runAttack } from "../run-attack.ts";

export function configure(command: Command): void {
  command
    .argument(
      "[source...]",
      "bring up a mesh of these files, attack it, and take it down; without: the running mesh",
    )
    .addOption(stateOption())
    .addOption(formatOption())
    .addOption(
      new Option(
        "--substrate <name>",
        "where the pods of the mesh that is brought up live; see `bulwark up --help`",
      )
        .choices([...SUBSTRATES, "auto"])
        .default("loopback"),
    )
    .option("--only <ids>", "these attacks, by comma: e6,m6", collect)
    .option("--brief", "one line for all that was stopped")
    .option(
      "--cert-ttl <duration>",
      "certificates of the mesh that is brought up live so long",
      parseCertificateLifetime,
    )
    .addHelpText(
      "after",
      `
Live attacks, each beside a legitimate variant that must pass on the same way. Outcomes: stopped; succeeded (the mesh broke its
word); allowed by configuration (its word is too wide: finding and fix); not possible here (said, never counted as stopped).
Certificates are taken with the workloads' own tokens, faulty ones are signed with the mesh's own CA; nothing is sent to hosts
outside of this machine. Pods that are network namespaces are attacked from inside, as their application's user and as their root,
while captures and counters watch the links (docs/attacks.md); needs root.

Exit code: 0 none succeeded, 2 one did, 3 the files are no mesh, 1 failed or ended early.
${examples(
  "bulwark attack examples/egress",
  "bulwark attack                       # the mesh that runs here",
  "bulwark attack --substrate netns examples/egress",
  "bulwark attack --only e6,m6 examples/payroll examples/egress",
  "bulwark attack --format json | jq '.results[] | select(.outcome == \"succeeded\")'",
)}`,
    )
    .action(async (sources: string[], options: AttackOptions) => {
      process.exitCode = await runAttack(sources, options);
    });
}
