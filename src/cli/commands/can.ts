import { type Command, InvalidArgumentError, Option } from "commander";
import type { PairVerdict } from "../../index.ts";
import { collect, examples, formatOption } from "../options.ts";
import type { CanOptions } from "../parse-can.ts";
import { runCan } from "../run-can.ts";

export function configure(command: Command): void {
  command
    .argument("[words...]", "FROM (`namespace/name`), METHOD, and a URL (with --to: a path)")
    .option("--mesh <path>", "folder or file of Kubernetes and Istio YAML, several times", collect)
    .option("--requests <file>", "decide all requests of a file; `-` for standard input")
    .addOption(formatOption())
    .addOption(
      new Option("--semantics <semantics>", "what Istio does with these files, or Bulwark's own proxies")
        .choices(["istio", "strict"])
        .default("istio"),
    )
    .option("--client-only", "the client's side alone: where its proxy sends the request")
    .option("--compare-modes", "tell where a server in the other mode, sidecar or ambient, decides otherwise")
    .option("--fail-on-rejected", "end with 3 where a resource is rejected, also where all is allowed")
    .option("--explain", "explain every request of a file")
    .option(
      "--to <name:port>",
      "a workload (namespace/name) and its container port, or a service and its port",
    )
    .option("--via <gateway>", "come in from outside by this gateway (namespace/name)")
    .option("--principal <id>", "the client certificate's identity: cluster.local/ns/NS/sa/ACCOUNT")
    .option("--plaintext", "without TLS, past the client's own proxy")
    .addOption(
      new Option("--tls <kind>", "TLS without, or with an untrusted, certificate").choices([
        "simple",
        "rogue",
      ]),
    )
    .option("--ip <address>", "the client's address")
    .addOption(new Option("--protocol <protocol>", "with --to").choices(["http", "grpc", "tcp", "tls"]))
    .option("-X, --method <method>", "request method")
    .option("-H, --header <line>", "`Name: value`, several times", collect)
    .option("--host <host>", "Host header, where it is not the URL's")
    .option("--sni <name>", "server name of the client's TLS; empty for none")
    .option("--jwt <token>", "a token, @FILE with one, or claims as JSON that are taken as verified")
    .option("--all-to <workload>", "who may reach it (namespace/name[:port])? With [METHOD] [PATH]...")
    .option("--all-from <workload>", "whom may it reach (namespace/name)? With [METHOD] [PATH]...")
    .option("--namespace <name>", "with --all-to or --all-from: of the other ends those of a namespace")
    .option(
      "--only <verdicts>",
      "with --all-to or --all-from: show allowed, denied, unknown or partly, or several with commas",
      parseVerdicts,
    )
    .addOption(
      new Option("--ext-authz <answer>", "what the external authorizer answers").choices(["allow", "deny"]),
    )
    .addHelpText("after", HELP)
    .action(async (words: string[], options: CanOptions) => {
      process.exitCode = await runCan(words, options);
    });
}

const VERDICTS: ReadonlySet<string> = new Set<PairVerdict>(["allowed", "denied", "unknown", "partly"]);

function parseVerdicts(text: string): readonly PairVerdict[] {
  const words = text.split(",");
  const wrong = words.find((word) => !VERDICTS.has(word));
  if (wrong === undefined) return words as readonly PairVerdict[];
  throw new InvalidArgumentError(
    `\`${wrong}\` is none of ${[...VERDICTS].join(", ")}; several are joined by commas.`,
  );
}

const HELP = `
No mesh has to run. NetworkPolicies are asked about each connection on the way.
Exit code: 0 all allowed, 2 something is denied or unknown, 3 the mesh or the requests are not valid, 1 Bulwark failed.
A resource that is rejected takes no part and is told; --fail-on-rejected has it count.
${examples(
  "bulwark can finance/intranet GET http://payroll.finance/accounts/7 --mesh examples/payroll",
  "bulwark can team-a/app-a https://mongo1.composedb.com --mesh examples/egress",
  "bulwark can --principal cluster.local/ns/finance/sa/intranet --to finance/payroll:8080 GET /salaries --mesh examples/payroll",
  "bulwark can finance/intranet GET http://payroll.finance/ --plaintext --mesh examples/payroll",
  "bulwark can --all-to finance/payroll GET /accounts/7 /salaries --mesh examples/payroll",
  "bulwark can --all-from team-a/app-a --mesh examples/egress",
  "bulwark can --mesh examples/payroll --requests requests.json --format json",
)}`;
