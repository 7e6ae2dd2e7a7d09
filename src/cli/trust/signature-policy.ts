/** Whose signatures count, as the user says: `audit --signatures DIR --signature-key cosign.pub` or `--signature-identity …`. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { TrustedRoot } from "@sigstore/protobuf-specs";
import { BulwarkError } from "../../resources/bulwark-error.ts";

export interface TrustedKey {
  readonly name: string;
  readonly key: KeyObject;
}

/** Both must hold. `*` in a subject stands for any characters; the rest is compared to the letter. */
export interface TrustedIdentity {
  readonly issuer: string;
  readonly subject: string;
}

export interface SignaturePolicy {
  readonly keys: readonly TrustedKey[];
  readonly identities: readonly TrustedIdentity[];
  /** Authorities and logs (`trusted_root.json`). Without it no certificate counts, and no log is asked about keys' signatures. */
  readonly root?: TrustedRoot;
}

const BYTES_MAX = 1024 * 1024;

/** @throws {BulwarkError} BW_CLI_INPUT when a file is not what it is given as, or identities are given without a root */
export async function readSignaturePolicy(options: {
  readonly keys?: readonly string[];
  readonly identities?: readonly string[];
  readonly trustedRoot?: string;
}): Promise<SignaturePolicy> {
  const keys = (options.keys ?? []).map(readKey);
  const identities = (options.identities ?? []).map(parseIdentity);
  if (keys.length + identities.length === 0)
    throw input("signatures need somebody to believe: give --signature-key or --signature-identity");
  if (identities.length > 0 && options.trustedRoot === undefined)
    throw input("identities are vouched for by an authority: give its --trusted-root (trusted_root.json)");
  if (options.trustedRoot === undefined) return { keys, identities };
  return { keys, identities, root: await readRoot(options.trustedRoot) };
}

/** @param text `ISSUER SUBJECT`, `https://accounts.google.com release@istio.io` */
function parseIdentity(text: string): TrustedIdentity {
  const [issuer = "", subject = "", ...others] = text.split(/[ ,]+/);
  if (!/^https?:\/\/./.test(issuer) || subject.replaceAll("*", "") === "" || others.length > 0)
    throw input(
      `\`${text}\` is no identity: write its issuer and its subject, as in \`https://accounts.google.com release@istio.io\``,
    );
  return { issuer, subject };
}

function readKey(file: string): TrustedKey {
  const text = readBounded(file);
  if (/PRIVATE KEY/.test(text)) throw input(`${file} is a private key: give the public one`);
  try {
    return { name: file, key: createPublicKey(text) };
  } catch (error) {
    throw input(`${file} is no public key in PEM`, error);
  }
}

async function readRoot(file: string): Promise<TrustedRoot> {
  const text = readBounded(file);
  try {
    return await parseTrustedRoot(text);
  } catch (error) {
    throw input(`${file} is no trusted root of Sigstore: ${(error as Error).message}`, error);
  }
}

/** @throws {Error} when it is none, or leaves open since when a log is believed: what is open holds for all times */
export async function parseTrustedRoot(text: string): Promise<TrustedRoot> {
  const { TrustedRoot } = await import("@sigstore/protobuf-specs");
  const root = TrustedRoot.fromJSON(JSON.parse(text));
  if (root.certificateAuthorities.length + root.tlogs.length === 0)
    throw new Error("it has neither authorities nor logs");
  for (const { publicKey } of [...root.tlogs, ...root.ctlogs])
    if (publicKey?.validFor?.start === undefined) throw new Error("it has a log with no first day");
  for (const { validFor } of [...root.certificateAuthorities, ...root.timestampAuthorities])
    if (validFor?.start === undefined) throw new Error("it has an authority with no first day");
  return root;
}

function readBounded(file: string): string {
  try {
    if (statSync(file).size > BYTES_MAX) throw input(`${file} is larger than ${BYTES_MAX} bytes`);
    return readFileSync(file, "utf8");
  } catch (error) {
    throw error instanceof BulwarkError
      ? error
      : input(`${file} cannot be read: ${(error as Error).message}`, error);
  }
}

function input(message: string, cause?: unknown): BulwarkError {
  return new BulwarkError("BW_CLI_INPUT", message, cause === undefined ? {} : { cause });
}
