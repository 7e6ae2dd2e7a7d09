import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { type CaSettings, checkCaSettings, PASSPHRASE_VARIABLE } from "../control/ca-settings.ts";
import { MAX_TTL_SECONDS } from "../identity/ca.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "../identity/key-algorithm.ts";
import { isPointerUrl, publishedUrls } from "../identity/pointer-urls.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { askPassphrase } from "./ask-passphrase.ts";
import { collect, lifetimeText, parseMaxLifetime } from "./options.ts";

export interface CaKeyOptions {
  readonly caKeyAlgorithm?: KeyAlgorithmName;
  readonly caPassphrase?: string;
  readonly caPkcs11?: string;
  readonly caCerts?: string;
  /** Milliseconds. */
  readonly maxCertTtl?: number;
  readonly certTtl?: number;
  readonly crlUrl?: readonly string[];
  readonly ocspUrl?: readonly string[];
  readonly revocationHttp?: { readonly host: string; readonly port: number };
}

/** Options about the CA's own keys (docs/identity.md). */
export function addCaKeyOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--ca-key-algorithm <kind>",
        "kind of the CA's keys when they are made (default: ecdsa-p256)",
      ).choices(Object.keys(KEY_ALGORITHMS)),
    )
    .option("--ca-passphrase <from>", "encrypt the CA's key files: file:PATH, env:NAME or prompt")
    .option("--ca-pkcs11 <uri>", "keep the CA's keys in a PKCS#11 token (RFC 7512; docs/identity.md)")
    .option(
      "--ca-certs <path>",
      "sign with a CA from outside: a folder as Istio's cacerts, or a file with the Secret",
    )
    .option(
      "--max-cert-ttl <duration>",
      "the longest life that anybody may ask the CA for (default: 90d)",
      parseMaxLifetime,
    )
    .option(
      "--crl-url <url>",
      `where certificates say that their CRL is, several times: http://…/{issuer}.crl, or ${PUBLISHED} (that of --revocation-http)`,
      collect,
    )
    .option("--ocsp-url <url>", "where they say that OCSP answers are had, likewise", collect);
}

/** @throws {BulwarkError} as checkCaSettings; BW_CLI_INPUT where nobody can be asked for the passphrase. */
export async function caSettingsOf(options: CaKeyOptions): Promise<CaSettings> {
  const { caKeyAlgorithm: keyAlgorithm, caPkcs11: pkcs11, caCerts } = options;
  const passphraseFrom = await passphraseSource(options.caPassphrase);
  const settings = {
    ...(keyAlgorithm === undefined ? {} : { keyAlgorithm }),
    ...(passphraseFrom === undefined ? {} : { passphraseFrom }),
    ...(pkcs11 === undefined ? {} : { pkcs11 }),
    ...(caCerts === undefined ? {} : { certs: resolve(caCerts) }),
    ...maxTtlOf(options),
    ...pointersOf(options),
  };
  checkCaSettings(settings);
  return settings;
}

/** The mesh's own proxies are no exception: with a shorter maximum they would be refused. */
function maxTtlOf({ maxCertTtl, certTtl = 0 }: CaKeyOptions): Pick<CaSettings, "maxTtlSeconds"> {
  const maxMs = maxCertTtl ?? MAX_TTL_SECONDS * 1000;
  if (certTtl > maxMs)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `--cert-ttl is above what the CA signs for, ${lifetimeText(maxMs)} (--max-cert-ttl)`,
    );
  return maxCertTtl === undefined ? {} : { maxTtlSeconds: Math.floor(maxCertTtl / 1000) };
}

const PUBLISHED = "published";

function pointersOf({ crlUrl, ocspUrl, revocationHttp }: CaKeyOptions): Pick<CaSettings, "pointerUrls"> {
  if (crlUrl === undefined && ocspUrl === undefined) return {};
  const published = revocationHttp === undefined ? undefined : publishedUrls(originOf(revocationHttp));
  const read = (option: string, texts: readonly string[] = [], own: string | undefined) =>
    texts.map((text) => {
      if (text === PUBLISHED)
        return own ?? refuse(`${option} ${PUBLISHED} needs --revocation-http: nothing is published`);
      return isPointerUrl(text) ? text : refuse(`${option} ${text}: write it as http://HOST/PATH`);
    });
  return {
    pointerUrls: {
      crlUrls: read("--crl-url", crlUrl, published?.crl),
      ocspUrls: read("--ocsp-url", ocspUrl, published?.ocsp),
    },
  };
}

function originOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function refuse(why: string): never {
  throw new BulwarkError("BW_CLI_INPUT", why);
}

async function passphraseSource(given: string | undefined): Promise<string | undefined> {
  if (given?.startsWith("file:") === true) return `file:${resolve(given.slice("file:".length))}`;
  if (given !== "prompt") return given;
  process.env[PASSPHRASE_VARIABLE] = await askPassphrase("Passphrase of the CA's keys: ");
  return `env:${PASSPHRASE_VARIABLE}`;
}
