import type { KeyObject } from "node:crypto";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseTrustDomain, type TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { KeyAlgorithm } from "./key-algorithm.ts";
import { spkiOf } from "./key-algorithm.ts";
import {
  checkPrivateFileMode,
  ensurePrivateFolder,
  readPrivateFile,
  readPrivateKey,
  removeStaleTemporaries,
  writePrivateFile,
  writePrivateKey,
} from "./key-store.ts";
import { decodePem, encodePem } from "./pem.ts";
import { type Signer, signCertificate, signerFrom } from "./sign.ts";
import { authorityTemplate, serialFrom, validityFrom } from "./template.ts";
import { verifyIssued } from "./verify-issued.ts";

/** A root that proxies trust. Its key stays on the disk: only making an intermediate needs it. */
export interface TrustedRoot {
  readonly id: string;
  readonly certificate: Buffer;
}

/** What a CA works with, as loaded from its folder. */
export interface CaState {
  readonly folder: string;
  readonly trustDomain: TrustDomain;
  /** Every root to trust: one, but two or more while roots are being replaced. */
  readonly roots: readonly TrustedRoot[];
  /** The intermediate that signs now, first of the chain's rest. */
  readonly signer: Signer;
}

/**
 * The commit point of the folder: a certificate or key that it does not name does not exist. Written last, in one
 * step, so a kill between files leaves only orphans.
 */
interface Manifest {
  readonly format: 1;
  readonly trustDomain: string;
  readonly roots: readonly string[];
  /** The root whose key signs new intermediates. */
  readonly signingRoot: string;
  readonly intermediate: string;
}

export interface CaStateOptions {
  readonly trustDomain: TrustDomain;
  readonly algorithm: KeyAlgorithm;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
  readonly nowMs: number;
}

const MANIFEST = "ca.json";
export const JOURNAL = "issued.jsonl";

/**
 * Loads the CA kept in this folder, or makes one on the first run. An intermediate in the last quarter of its
 * life is replaced by one that the same root signs.
 * @throws {BulwarkError} BW_CA_TRUST_DOMAIN_CHANGED, BW_CA_STATE_DAMAGED, and those of the key store.
 */
export async function loadCaState(folder: string, options: CaStateOptions): Promise<CaState> {
  ensurePrivateFolder(folder);
  removeStaleTemporaries(folder);
  const manifest = readManifest(folder) ?? (await createManifest(folder, options));
  if (manifest.trustDomain !== options.trustDomain) {
    throw new BulwarkError(
      "BW_CA_TRUST_DOMAIN_CHANGED",
      `${folder} holds the CA of trust domain ${manifest.trustDomain}, not of ${options.trustDomain}; use another state folder, or that trust domain`,
      { detail: { stored: manifest.trustDomain, wanted: options.trustDomain } },
    );
  }
  const signer = loadSigner(folder, manifest);
  if (!isDue(signer, options.nowMs)) return stateOf(folder, options.trustDomain, manifest, signer);
  const renewed = await replaceIntermediate(folder, manifest, options);
  return stateOf(folder, options.trustDomain, renewed, loadSigner(folder, renewed));
}

function stateOf(folder: string, trustDomain: TrustDomain, manifest: Manifest, signer: Signer): CaState {
  const roots = manifest.roots.map((id) => ({ id, certificate: readCertificateFile(folder, `root-${id}`) }));
  const parent = roots.find((root) => root.id === manifest.signingRoot);
  checkPrivateFileMode(keyPath(folder, `root-${manifest.signingRoot}`));
  if (
    parent === undefined ||
    !signer.x509.verify(signerFrom(parent.certificate, signer.privateKey).publicKey)
  ) {
    damaged(folder, "its intermediate is not signed by its root");
  }
  return { folder, trustDomain, roots, signer };
}

function isDue(signer: Signer, nowMs: number): boolean {
  const lifetimeMs = signer.notAfter.getTime() - signer.notBefore.getTime();
  return signer.notAfter.getTime() - nowMs < lifetimeMs / 4;
}

function loadSigner(folder: string, manifest: Manifest): Signer {
  const name = `intermediate-${manifest.intermediate}`;
  return checkedSigner(folder, name, readPrivateKey(keyPath(folder, name)));
}

function checkedSigner(folder: string, name: string, key: KeyObject | undefined): Signer {
  if (key === undefined) damaged(folder, `${name}.key.pem is missing`);
  const signer = signerFrom(readCertificateFile(folder, name), key);
  if (!signer.spki.equals(spkiOf(key)))
    damaged(folder, `${name}: the key does not belong to the certificate`);
  return signer;
}

/** Two processes may start at once: the one whose manifest is placed first is the CA, the other loads that one. */
async function createManifest(folder: string, options: CaStateOptions): Promise<Manifest> {
  // A record of certificates without a manifest is no first run: making new roots would cut off every workload.
  if (existsSync(join(folder, JOURNAL)))
    damaged(folder, `${MANIFEST} is missing, but certificates were issued`);
  const root = await createAuthority(folder, options);
  const rootId = root.subjectKeyId.toString("hex");
  const intermediate = await createAuthority(folder, options, root);
  const manifest: Manifest = {
    format: 1,
    trustDomain: options.trustDomain,
    roots: [rootId],
    signingRoot: rootId,
    intermediate: intermediate.subjectKeyId.toString("hex"),
  };
  writePrivateFile(join(folder, MANIFEST), printManifest(manifest), { exclusive: true });
  return readManifest(folder) ?? damaged(folder, `${MANIFEST} vanished`);
}

async function replaceIntermediate(
  folder: string,
  manifest: Manifest,
  options: CaStateOptions,
): Promise<Manifest> {
  const name = `root-${manifest.signingRoot}`;
  const root = checkedSigner(folder, name, readPrivateKey(keyPath(folder, name)));
  const intermediate = await createAuthority(folder, options, root);
  const renewed = { ...manifest, intermediate: intermediate.subjectKeyId.toString("hex") };
  writePrivateFile(join(folder, MANIFEST), printManifest(renewed));
  return renewed;
}

/** Makes a key and its certificate, signed by `issuer` or by itself, and keeps both in the folder. */
async function createAuthority(folder: string, options: CaStateOptions, issuer?: Signer): Promise<Signer> {
  const { privateKey, publicKey } = await options.algorithm.generate();
  const ttlSeconds = issuer === undefined ? options.rootTtlSeconds : options.intermediateTtlSeconds;
  const template = authorityTemplate({
    trustDomain: options.trustDomain,
    spki: spkiOf(publicKey),
    validity: validityFrom(options.nowMs, ttlSeconds, issuer),
    serial: serialFrom(randomBytes(16)),
    ...(issuer && { issuer }),
  });
  const certificate = signCertificate(template, issuer?.privateKey ?? privateKey);
  const signer = signerFrom(certificate, privateKey);
  verifyIssued(certificate, template, issuer ?? signer);
  const name = `${template.profile}-${template.subjectKeyId.toString("hex")}`;
  writePrivateKey(keyPath(folder, name), privateKey);
  writePrivateFile(certificatePath(folder, name), encodePem("CERTIFICATE", certificate));
  return signer;
}

function readManifest(folder: string): Manifest | undefined {
  const text = readPrivateFile(join(folder, MANIFEST));
  if (text === undefined) return undefined;
  const manifest = parseManifest(text);
  return manifest ?? damaged(folder, `${MANIFEST} cannot be read`);
}

function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { format, trustDomain, roots, signingRoot, intermediate }: Readonly<Record<string, unknown>> = {
    ...value,
  };
  if (format !== 1 || typeof trustDomain !== "string" || parseTrustDomain(trustDomain) === undefined)
    return undefined;
  if (!Array.isArray(roots) || !roots.every(isKeyId) || !isKeyId(signingRoot) || !isKeyId(intermediate))
    return undefined;
  return { format, trustDomain, roots, signingRoot, intermediate };
}

/** Key identifiers become file names, so nothing else may pass for one. */
function isKeyId(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{40}$/.test(value);
}

function printManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

function readCertificateFile(folder: string, name: string): Buffer {
  const pem = readPrivateFile(certificatePath(folder, name));
  const certificate = pem === undefined ? undefined : decodePem("CERTIFICATE", pem)[0];
  return certificate ?? damaged(folder, `${name}.crt.pem is missing or empty`);
}

function keyPath(folder: string, name: string): string {
  return join(folder, `${name}.key.pem`);
}

function certificatePath(folder: string, name: string): string {
  return join(folder, `${name}.crt.pem`);
}

function damaged(folder: string, what: string): never {
  const message = `the CA's state in ${folder} is damaged: ${what}; restore it from a backup, or remove the folder to start with new roots`;
  throw new BulwarkError("BW_CA_STATE_DAMAGED", message, { detail: { folder, what } });
}
