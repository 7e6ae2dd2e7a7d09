import { type Command, Option } from "commander";
import { KEY_ALGORITHMS } from "../../identity/key-algorithm.ts";
import { examples, formatOption, parseDuration } from "../options.ts";
import { type EnrollCommandOptions, runEnroll } from "../run-enroll.ts";

export function configure(group: Command): void {
  group
    .command("enroll")
    .description(
      "have an outside CA sign an intermediate, over EST (RFC 7030) or by a signer of Kubernetes' CSR API, for `up --ca-certs`",
    )
    .argument("<url>", "the EST server: https://host[:port][/.well-known/est/label], or the API server")
    .requiredOption(
      "--out <dir>",
      "folder for the four files of Istio's cacerts; a mesh that runs on it follows",
    )
    .option("--trust-domain <name>", "the mesh's", "cluster.local")
    .option("--server-ca <file>", "roots of the server's certificate (default: the system's)")
    .option(
      "--credentials <from>",
      "user:password to show (with --kubernetes-signer: a token), as file:PATH or env:NAME",
    )
    .option("--client-cert <file>", "certificate to show, with --client-key")
    .option("--client-key <file>", "its key, mode 0600")
    .addOption(new Option("--key-algorithm <kind>", "of the new key").choices(Object.keys(KEY_ALGORITHMS)))
    .option("--passphrase <from>", "encrypt the new key: file:PATH or env:NAME")
    .option("--kubernetes-signer <name>", "ask this signer (domain/path) of the cluster; needs --roots")
    .option("--roots <file>", "what the signer's certificates are trusted by: that API does not say")
    .option("--timeout <duration>", "how long to wait for its approval (default: 5m)", parseDuration)
    .addOption(formatOption())
    .addHelpText(
      "after",
      examples(
        "bulwark ca enroll https://ca.example --out cacerts --server-ca ca.pem --credentials file:est-password",
        "bulwark ca enroll https://10.0.0.1:6443 --kubernetes-signer issuers.example/mesh --roots roots.pem --out cacerts --server-ca ca.crt --credentials file:token",
        "bulwark up k8s/ --ca-certs cacerts",
      ),
    )
    .action(async (url: string, options: EnrollCommandOptions) => {
      process.exitCode = await runEnroll(url, options);
    });
}
