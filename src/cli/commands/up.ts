import { type Command, Option } from "commander";
import { SUBSTRATES } from "../../substrate/substrate.ts";
import { addCaKeyOptions } from "../ca-options.ts";
import {
  collect,
  examples,
  formatOption,
  parseDuration,
  parseLoopback,
  parseMaxLifetime,
  parseSilence,
  stateOption,
} from "../options.ts";
import { runUp, type UpOptions } from "../run-up.ts";

export function configure(command: Command): void {
  addCaKeyOptions(command)
    .argument("<source...>", "folders or files of Kubernetes and Istio YAML or JSON")
    .addOption(stateOption())
    .addOption(formatOption())
    .option(
      "--simulate-external",
      "stand-ins for every external host, so that all works offline (default: with network namespaces)",
    )
    .option("--no-simulate-external", "none, also with network namespaces")
    .addOption(
      new Option(
        "--substrate <name>",
        "where pods live: addresses of 127/8, or network namespaces (Linux, root); default: $BULWARK_SUBSTRATE, else namespaces where they can be had; auto: the same, and say why not",
      ).choices([...SUBSTRATES, "auto"]),
    )
    .option("--app <workload=command>", "run this command as the application, once a replica", collect)
    .option(
      "--cert-ttl <duration>",
      "how long certificates live (default: 24h, or --max-cert-ttl where that is less)",
      parseMaxLifetime,
    )
    .option("--jwks-refresh <duration>", "how often issuers' keys are fetched (default: 20m)", parseDuration)
    .option(
      "--jwks-allow <place>",
      "a host, address or block that keys may be fetched from although it is not public https",
      collect,
    )
    .option(
      "--store <address>",
      "postgres://…: where the CA's records are, for several replicas; or $BULWARK_STORE (default: in the state folder)",
    )
    .option(
      "--revocation-max-age <duration>",
      "refuse mesh handshakes when control has not said for so long what is revoked (default: go on with what is known)",
      parseSilence,
    )
    .option(
      "--revocation-http <address>",
      "serve CRLs and OCSP over plain HTTP at this loopback address, as in 127.0.0.1:8086",
      parseLoopback,
    )
    .option("--ca-access <file>", "who else may ask the CA for certificates, and where: Istio's gRPC service")
    .option("--workload-api", "a socket for each pod with the SPIFFE Workload API and Envoy's SDS")
    .option("--bundle-endpoint <address>", "serve the mesh's trust bundle there (docs/federation.md)")
    .option(
      "--federate <domain>",
      "a trust domain whose workloads may be talked to (docs/federation.md)",
      collect,
    )
    .option("-q, --quiet", "say only what is wrong")
    .option("--demo", "show the calls of the egress example, allowed and refused")
    .addHelpText(
      "after",
      `\nRuns in the foreground; Ctrl-C stops everything. A saved change of the files takes effect at once, if all of it is valid.\n${examples(
        "bulwark up examples/payroll",
        "bulwark up examples/egress --simulate-external",
        "bulwark up k8s/ istio/ --app team-a/app-a='node app.js' --cert-ttl 10m",
      )}`,
    )
    .action(async (sources: string[], options: UpOptions) => {
      // All that it started has been stopped by now: nothing that is still under way here, such as a call of the demo, may hold it.
      process.exit(await runUp(sources, options));
    });
}
