import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { load as parseYaml } from "js-yaml";
import { type CaOptions, type CertificateAuthority, openCa } from "../identity/ca.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName, keyAlgorithmOf } from "../identity/key-algorithm.ts";
import { checkPrivateFileMode } from "../identity/key-store.ts";
import { FileKeyStore } from "../identity/keys/file-key-store.ts";
import { Pkcs11KeyStore } from "../identity/keys/pkcs11-key-store.ts";
import { parsePkcs11Uri } from "../identity/keys/pkcs11-uri.ts";
import { readSecret } from "../identity/keys/secret-source.ts";
import { type CaMaterial, materialOfSecret, readMaterialFolder } from "../identity/plug-in/ca-material.ts";
import { MaterialFollower } from "../identity/plug-in/follow-material.ts";
import type { PointerUrls } from "../identity/pointer-urls.ts";
import type { CaStore } from "../identity/store/ca-store.ts";
import type { TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** How the mesh's CA keeps its keys, or which it takes over. */
export interface CaSettings {
  /** Of the keys that it makes. */
  readonly keyAlgorithm?: KeyAlgorithmName;
  /** `file:PATH` or `env:NAME`: what its key files are encrypted with. */
  readonly passphraseFrom?: string;
  /** RFC 7512: the token in which its keys are made and stay. */
  readonly pkcs11?: string;
  /** A CA from outside: a folder in the layout of `cacerts`, or a file with the Secret. */
  readonly certs?: string;
  /** Longest life of a certificate that anybody may ask for; default 90 days. */
  readonly maxTtlSeconds?: number;
  /** Where certificates say that their state can be asked for; default: they say nothing. */
  readonly pointerUrls?: PointerUrls;
}

/** The passphrase's text, when `up` has asked for it at the terminal. */
export const PASSPHRASE_VARIABLE = "BULWARK_CA_PASSPHRASE";

/** For the control process's command line; no secret is in it. */
export function caFlags(settings: CaSettings | undefined): string[] {
  return settings === undefined ? [] : ["--ca-settings", JSON.stringify(settings)];
}

/** What the control process needs of the environment for these settings, and no other process is given. */
export function caEnvironment({
  passphraseFrom = "",
  pkcs11,
}: CaSettings = {}): Readonly<Record<string, string>> {
  const sources = [passphraseFrom, pkcs11 === undefined ? "" : parsePkcs11Uri(pkcs11).pinSource];
  const names = sources.flatMap((source) => /^env:(.+)$/s.exec(source)?.[1] ?? []);
  const wanted = [...names, ...(pkcs11 === undefined ? [] : ["SOFTHSM2_CONF"])];
  return Object.fromEntries(
    wanted.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

/** @param text what {@link caFlags} wrote. */
export function readCaFlags(text: string | undefined): CaSettings {
  return text === undefined ? {} : (JSON.parse(text) as CaSettings);
}

/**
 * What can be told of settings before anything is started.
 * @throws {BulwarkError} BW_CLI_INPUT, BW_PKCS11_URI, BW_SECRET_SOURCE, BW_KEYSTORE_FILE_MODE, BW_CA_SECRET.
 */
export function checkCaSettings(settings: CaSettings): void {
  const { keyAlgorithm, passphraseFrom, pkcs11, certs } = settings;
  if (certs !== undefined && (pkcs11 ?? keyAlgorithm) !== undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "a CA from outside (--ca-certs) brings its own key: no other is made",
    );
  if (pkcs11 !== undefined && passphraseFrom !== undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "keys in a PKCS#11 token (--ca-pkcs11) have no passphrase, but a PIN",
    );
  if (keyAlgorithm !== undefined && !(keyAlgorithm in KEY_ALGORITHMS))
    throw new BulwarkError("BW_CLI_INPUT", `${keyAlgorithm} is no kind of key`);
  passphraseOf(settings);
  if (pkcs11 !== undefined) readSecret(parsePkcs11Uri(pkcs11).pinSource, "the token's PIN");
  if (certs !== undefined) readMaterial(certs);
}

/**
 * Opens the mesh's CA as configured.
 * @param store its records, opened; by default they are in the state folder.
 * @throws {BulwarkError} those of openCa and of {@link checkCaSettings}.
 */
export function openConfiguredCa(
  stateDir: string,
  trustDomain: TrustDomain,
  settings: CaSettings,
  store?: CaStore,
): Promise<CertificateAuthority> {
  return openCa(stateDir, {
    trustDomain,
    ...keysOf(stateDir, settings),
    ...(settings.maxTtlSeconds === undefined ? {} : { maxTtlSeconds: settings.maxTtlSeconds }),
    ...(settings.pointerUrls === undefined ? {} : { pointerUrls: settings.pointerUrls }),
    ...(store === undefined ? {} : { store }),
  });
}

/** What to tell whoever asks for another kind of key than the CA has already; undefined where there is nothing to tell. */
export function keyAlgorithmNotice(
  { trustBundle, issuerCertificate }: Pick<CertificateAuthority, "trustBundle" | "issuerCertificate">,
  { keyAlgorithm }: CaSettings,
): string | undefined {
  if (keyAlgorithm === undefined) return undefined;
  const kinds = [...trustBundle, issuerCertificate].map(
    (der) => keyAlgorithmOf(new X509Certificate(der).publicKey)?.name ?? "of another kind",
  );
  const other = kinds.find((kind) => kind !== keyAlgorithm);
  if (other === undefined) return undefined;
  return `--ca-key-algorithm ${keyAlgorithm} holds only for keys made from now on: this CA has keys that are ${other} (\`bulwark ca rotate-root\`, \`rotate-intermediate\` replace them)`;
}

function keysOf(stateDir: string, settings: CaSettings): Partial<CaOptions> {
  const { keyAlgorithm, pkcs11, certs } = settings;
  const passphrase = passphraseOf(settings);
  const secret = passphrase === undefined ? {} : { passphrase };
  if (certs !== undefined) return { pluggedIn: { material: readMaterial(certs), ...secret } };
  const kind = keyAlgorithm === undefined ? {} : { keyAlgorithm };
  const folder = join(stateDir, "ca");
  if (pkcs11 !== undefined) return { ...kind, keys: Pkcs11KeyStore.at(pkcs11, join(folder, "pin-refused")) };
  return passphrase === undefined ? kind : { ...kind, keys: new FileKeyStore(folder, passphrase) };
}

export interface FollowCaOptions {
  readonly ca: CertificateAuthority;
  readonly onAdopted: () => void;
  readonly onRefused: (message: string) => void;
}

/** Follows the files of a CA from outside; undefined where the CA is the mesh's own. */
export function followCa(settings: CaSettings, options: FollowCaOptions): MaterialFollower | undefined {
  const { certs } = settings;
  if (certs === undefined) return undefined;
  const passphrase = passphraseOf(settings);
  return new MaterialFollower({
    ca: options.ca,
    read: () => readMaterial(certs),
    inForce: readMaterial(certs),
    trustDomain: options.ca.trustDomain,
    ...(passphrase === undefined ? {} : { passphrase }),
    onAdopted: options.onAdopted,
    onRefused: ({ message, detail: { problems } }) =>
      options.onRefused(
        Array.isArray(problems) && problems.length > 1 ? `${message}: ${problems.join("; ")}` : message,
      ),
  });
}

function passphraseOf({ passphraseFrom }: CaSettings): string | undefined {
  return passphraseFrom === undefined ? undefined : readSecret(passphraseFrom, "the CA's passphrase");
}

/** @throws {BulwarkError} BW_CA_SECRET, BW_KEYSTORE_FILE_MODE, BW_KEYSTORE_IO */
function readMaterial(path: string): CaMaterial {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new BulwarkError("BW_CA_SECRET", `${path} is not there`);
  if (stat.isDirectory()) return readMaterialFolder(path);
  checkPrivateFileMode(path);
  return materialOfSecret(parsed(path), path);
}

function parsed(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, "utf8"));
  } catch {
    // Without its cause, which quotes what it read.
    throw new BulwarkError("BW_CA_SECRET", `${path} is neither YAML nor JSON of a Secret`);
  }
}
