import type { Command } from "commander";
import { runCall } from "../../control/run-call.ts";
import {
  collect,
  examples,
  formatOption,
  parseCount,
  parseDuration,
  stateOf,
  stateOption,
} from "../options.ts";
import { type CallOptions, parseCall } from "../parse-call.ts";
import { exitCodeOf, renderCall } from "../render/call.ts";

export function configure(command: Command): void {
  command
    .argument("<from>", "the workload that calls: `namespace/name`")
    .argument("<url>", "http://, https:// (the caller's own TLS), tcp://HOST:PORT or tls://HOST:PORT")
    .addOption(stateOption())
    .addOption(formatOption())
    .option("-X, --method <method>", "request method (GET, or POST with --data)")
    .option("-H, --header <line>", "`Name: value`, several times", collect)
    .option("-d, --data <text>", "the body, or bytes to send; @FILE reads a file, @- standard input")
    .option("--sni <name>", "server name of the caller's TLS; empty for none")
    .option("--http2", "HTTP/2: by ALPN over https, with prior knowledge over http")
    .option("--timeout <duration>", "give up after", parseDuration, 15_000)
    .option("--replica <n>", "which replica calls, from 0", parseCount(0, 9999), 0)
    .option("-i, --include", "print status line and headers too")
    .option("-k, --insecure", "take any certificate of the server")
    .option("--cacert <file>", "trust this CA for the server, too")
    .addHelpText(
      "after",
      `\nExit code: 0 answered, 2 refused by the mesh (it says by whom and by which rule), 1 failed, or who answered with an error is not known.\n${examples(
        "bulwark call finance/account-auditor http://payroll.finance/accounts/7",
        "bulwark call team-a/app-a https://www.ibm.com/ -i",
        "bulwark call finance/intranet tcp://payroll.finance:9000 -d hello",
        "bulwark call team-a/app-a https://www.ibm.com/ --sni mongo1.composedb.com",
      )}`,
    )
    .action(async (from: string, url: string, options: CallOptions) => {
      const call = parseCall(url, options);
      const outcome = await runCall(stateOf(options), from, options.replica, call, {
        alwaysExplain: options.format === "json",
      });
      renderCall(outcome, options);
      process.exitCode = exitCodeOf(outcome);
    });
}
