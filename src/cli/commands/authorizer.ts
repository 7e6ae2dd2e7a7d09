import { type Command, InvalidArgumentError } from "commander";
import type { AuthorizerAddress } from "../../authorizer/authorizer-server.ts";
import { examples } from "../options.ts";
import { runAuthorizer } from "../run-authorizer.ts";

export interface AuthorizerCommandOptions {
  readonly listen?: AuthorizerAddress;
  readonly quiet?: boolean;
}

export function configure(command: Command): void {
  command
    .argument(
      "<rules>",
      "YAML file: where the context comes from, and the rules (docs/external-authorization.md)",
    )
    .option(
      "-l, --listen <address>",
      "host:port (default: $HOST:$PORT, as `bulwark up --app` sets them, else 127.0.0.1:9191)",
      parseAddress,
    )
    .option("-q, --quiet", "do not tell each decision")
    .addHelpText(
      "after",
      `\nAnswers CUSTOM policies by Envoy's ext_authz protocol, gRPC and HTTP on one port. A saved change of rules or context takes effect at once.\n${examples(
        "bulwark authorizer examples/device/authorizer.yaml",
        "bulwark up examples/device/mesh --app security/device-authorizer='bin/bulwark authorizer examples/device/authorizer.yaml'",
      )}`,
    )
    .action(async (rules: string, options: AuthorizerCommandOptions) => {
      process.exitCode = await runAuthorizer(rules, options);
    });
}

function parseAddress(text: string): AuthorizerAddress {
  const [, host, port] = /^(?:\[?([^\]]+)\]?:)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError("Write it as in 127.0.0.1:9191.");
  return { host: host ?? "127.0.0.1", port: Number(port) };
}
