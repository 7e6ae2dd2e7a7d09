import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { enrollCa, type OutsideCa } from "../control/est/enroll-ca.ts";
import { EstClient, type EstServer } from "../control/est/est-client.ts";
import { KubernetesSigner } from "../control/kubernetes-csr/kubernetes-signer.ts";
import type { KeyAlgorithmName } from "../identity/key-algorithm.ts";
import { readPrivateFile } from "../identity/key-store.ts";
import { readSecret } from "../identity/keys/secret-source.ts";
import { parseTrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { plain } from "./render/style.ts";

export interface EnrollCommandOptions {
  readonly format: string;
  readonly out: string;
  readonly trustDomain: string;
  readonly serverCa?: string;
  readonly credentials?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  readonly keyAlgorithm?: KeyAlgorithmName;
  readonly passphrase?: string;
  readonly kubernetesSigner?: string;
  readonly roots?: string;
  /** Milliseconds. */
  readonly timeout?: number;
}

const APPROVAL_TIMEOUT_MS = 300_000;

/** @throws {BulwarkError} as enrollCa, BW_CLI_INPUT, BW_SECRET_SOURCE. */
export async function runEnroll(url: string, options: EnrollCommandOptions): Promise<ExitCode> {
  const trustDomain = parseTrustDomain(options.trustDomain);
  if (trustDomain === undefined)
    throw new BulwarkError("BW_CLI_INPUT", `\`${options.trustDomain}\` is no trust domain`);
  const { keyAlgorithm, passphrase } = options;
  const folder = resolve(options.out);
  const { subject, validTo } = await enrollCa({
    client: outsideCa(url, options),
    trustDomain,
    folder,
    ...(keyAlgorithm === undefined ? {} : { keyAlgorithm }),
    ...(passphrase === undefined ? {} : { passphrase: readSecret(passphrase, "the passphrase") }),
  });
  const enrolled = {
    subject: subject.replaceAll("\n", ", "),
    notAfter: new Date(validTo).toISOString(),
    folder,
  };
  process.stdout.write(
    options.format === "json"
      ? `${JSON.stringify(enrolled, undefined, 2)}\n`
      : `${plain(enrolled.subject)}, until ${enrolled.notAfter}: in ${folder}\n`,
  );
  return EXIT.ok;
}

function outsideCa(url: string, options: EnrollCommandOptions): OutsideCa {
  const { kubernetesSigner: signerName, roots, timeout } = options;
  const server = serverOf(url, options);
  if (signerName === undefined && roots === undefined && timeout === undefined) return new EstClient(server);
  if (signerName === undefined || roots === undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "--kubernetes-signer and --roots go together; --timeout needs them",
    );
  const { credentials, ...apiServer } = server;
  return new KubernetesSigner({
    ...apiServer,
    ...(credentials === undefined ? {} : { bearerToken: credentials }),
    signerName,
    rootsPem: readText(roots),
    timeoutMs: timeout ?? APPROVAL_TIMEOUT_MS,
    onWaiting: (name) =>
      process.stderr.write(`waiting until it is approved: kubectl certificate approve ${name}\n`),
  });
}

function serverOf(url: string, options: EnrollCommandOptions): EstServer {
  const { serverCa, credentials, clientCert, clientKey, kubernetesSigner } = options;
  const secret = kubernetesSigner === undefined ? "user:password" : "the token";
  if ((clientCert === undefined) !== (clientKey === undefined))
    throw new BulwarkError("BW_CLI_INPUT", "--client-cert and --client-key go together");
  return {
    url,
    ...(serverCa === undefined ? {} : { serverRootsPem: readText(serverCa) }),
    ...(credentials === undefined ? {} : { credentials: readSecret(credentials, secret) }),
    ...(clientCert === undefined || clientKey === undefined
      ? {}
      : { client: { certificatePem: readText(clientCert), keyPem: keyIn(clientKey) } }),
  };
}

function keyIn(path: string): string {
  return readPrivateFile(path) ?? missing(path);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return missing(path);
  }
}

function missing(path: string): never {
  throw new BulwarkError("BW_CLI_INPUT", `${path} cannot be read`);
}
