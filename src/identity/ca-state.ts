import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type Manifest, readManifest, withIntermediate, writeManifest } from "./ca-manifest.ts";
import type { KeyAlgorithm } from "./key-algorithm.ts";
import {
  ensurePrivateFolder,
  readPrivateFile,
  removeStaleTemporaries,
  writePrivateFile,
} from "./key-store.ts";
import type { CaKeyRole, CaKeyStore } from "./keys/ca-key-store.ts";
import { FileKeyStore } from "./keys/file-key-store.ts";
import { decodePem, encodePem } from "./pem.ts";
import { authorityPointersOf, type PointerUrls } from "./pointer-urls.ts";
import { type Issuer, issueCertificate, readIssuerCertificate } from "./sign.ts";
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
  /** The intermediate that signs now. */
  readonly signer: Issuer;
  /** What a peer sends after its leaf: from the signer's certificate up to, not including, a root. */
  readonly chain: readonly Buffer[];
  /** What these were read from: where a rotation stands. None where the CA is plugged in from outside. */
  readonly manifest?: Manifest;
}

export interface CaStateOptions {
  readonly trustDomain: TrustDomain;
  readonly algorithm: KeyAlgorithm;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
  readonly nowMs: number;
  /** Where keys are kept; default: files beside the certificates. */
  readonly keys?: CaKeyStore;
  /** Where intermediates say that their root's list is. */
  readonly pointerUrls?: PointerUrls;
}

/** The embedded store. */
export const RECORDS = "records.sqlite";
/** Where certificates were recorded before there was a store. */
export const JOURNAL = "issued.jsonl";

/**
 * Loads the CA kept in this folder, or makes one on the first run. An intermediate in the last quarter of its
 * life is replaced by one that the same root signs.
 * @throws {BulwarkError} BW_CA_TRUST_DOMAIN_CHANGED, BW_CA_STATE_DAMAGED, and those of the key store.
 */
export async function loadCaState(folder: string, options: CaStateOptions): Promise<CaState> {
  ensurePrivateFolder(folder);
  removeStaleTemporaries(folder);
  const manifest = storedManifest(folder) ?? (await createManifest(folder, options));
  if (manifest.trustDomain !== options.trustDomain) {
    throw new BulwarkError(
      "BW_CA_TRUST_DOMAIN_CHANGED",
      `${folder} holds the CA of trust domain ${manifest.trustDomain}, not of ${options.trustDomain}; use another state folder, or that trust domain`,
      { detail: { stored: manifest.trustDomain, wanted: options.trustDomain } },
    );
  }
  const keys = options.keys ?? new FileKeyStore(folder);
  const signer = await openIssuer(folder, keys, "intermediate", manifest.intermediate);
  if (!isDue(signer, options.nowMs)) return stateOf(folder, keys, manifest, signer);
  const renewed = await replaceIntermediate(folder, keys, manifest, options);
  const successor = await openIssuer(folder, keys, "intermediate", renewed.intermediate);
  return stateOf(folder, keys, renewed, successor);
}

function stateOf(folder: string, keys: CaKeyStore, manifest: Manifest, signer: Issuer): CaState {
  const roots = manifest.roots.map((id) => ({ id, certificate: readCertificateFile(folder, `root-${id}`) }));
  const parent = roots.find((root) => root.id === manifest.signingRoot);
  keys.inspect("root", manifest.signingRoot);
  if (parent === undefined || !signer.x509.verify(readIssuerCertificate(parent.certificate).publicKey)) {
    damaged(folder, "its intermediate is not signed by its root");
  }
  return { folder, trustDomain: manifest.trustDomain, roots, signer, chain: [signer.certificate], manifest };
}

/** Whether a certificate is in the last quarter of its life. */
export function isDue(signer: Pick<Issuer, "notBefore" | "notAfter">, nowMs: number): boolean {
  const lifetimeMs = signer.notAfter.getTime() - signer.notBefore.getTime();
  return signer.notAfter.getTime() - nowMs < lifetimeMs / 4;
}

/** A stored certificate of the CA with its key. @throws {BulwarkError} BW_CA_STATE_DAMAGED, and those of the key store. */
export async function openIssuer(
  folder: string,
  keys: CaKeyStore,
  role: CaKeyRole,
  keyId: string,
): Promise<Issuer> {
  const key = await keys.open(role, keyId);
  if (key === undefined) damaged(folder, `the key of ${role}-${keyId} is missing (${keys.name})`);
  const certificate = readIssuerCertificate(readCertificateFile(folder, `${role}-${keyId}`));
  if (!certificate.spki.equals(key.spki))
    damaged(folder, `${role}-${keyId}: the key does not belong to the certificate`);
  return { ...certificate, key };
}

/** Two processes may start at once: the one whose manifest is placed first is the CA, the other loads that one. */
async function createManifest(folder: string, options: CaStateOptions): Promise<Manifest> {
  // A record of certificates without a manifest is no first run: making new roots would cut off every workload.
  if ([RECORDS, JOURNAL].some((file) => existsSync(join(folder, file)))) {
    // Another process that began at the same time writes its manifest first, then the record.
    return storedManifest(folder) ?? damaged(folder, "ca.json is missing, but certificates were issued");
  }
  const keys = options.keys ?? new FileKeyStore(folder);
  const root = await createAuthority(folder, keys, options);
  const rootId = root.subjectKeyId.toString("hex");
  const intermediate = await createAuthority(folder, keys, options, root);
  const manifest: Manifest = {
    format: 1,
    trustDomain: options.trustDomain,
    roots: [rootId],
    signingRoot: rootId,
    intermediate: intermediate.subjectKeyId.toString("hex"),
  };
  writeManifest(folder, manifest, { exclusive: true });
  return storedManifest(folder) ?? damaged(folder, "ca.json vanished");
}

async function replaceIntermediate(
  folder: string,
  keys: CaKeyStore,
  manifest: Manifest,
  options: CaStateOptions,
): Promise<Manifest> {
  const root = await openIssuer(folder, keys, "root", manifest.signingRoot);
  const intermediate = await createAuthority(folder, keys, options, root);
  const renewed = withIntermediate(manifest, intermediate.subjectKeyId.toString("hex"));
  writeManifest(folder, renewed);
  return renewed;
}

/** Makes a key and its certificate, signed by `issuer` or by itself, and keeps both. */
export async function createAuthority(
  folder: string,
  keys: CaKeyStore,
  options: CaStateOptions,
  issuer?: Issuer,
): Promise<Issuer> {
  const role = issuer === undefined ? "root" : "intermediate";
  const key = await keys.generate(role, options.algorithm);
  const ttlSeconds = issuer === undefined ? options.rootTtlSeconds : options.intermediateTtlSeconds;
  const template = authorityTemplate({
    trustDomain: options.trustDomain,
    spki: key.spki,
    validity: validityFrom(options.nowMs, ttlSeconds, issuer),
    serial: serialFrom(randomBytes(16)),
    ...(issuer && { issuer }),
    revocationPointers:
      issuer && authorityPointersOf(options.pointerUrls, issuer.subjectKeyId.toString("hex")),
  });
  const certificate = await issueCertificate(template, issuer?.key ?? key);
  const made = { ...readIssuerCertificate(certificate), key };
  verifyIssued(certificate, template, issuer ?? made);
  const name = `${role}-${template.subjectKeyId.toString("hex")}`;
  writePrivateFile(certificatePath(folder, name), encodePem("CERTIFICATE", certificate));
  return made;
}

function storedManifest(folder: string): Manifest | undefined {
  const manifest = readManifest(folder);
  return manifest === "damaged" ? damaged(folder, "ca.json cannot be read") : manifest;
}

function readCertificateFile(folder: string, name: string): Buffer {
  const pem = readPrivateFile(certificatePath(folder, name));
  const certificate = pem === undefined ? undefined : decodePem("CERTIFICATE", pem)[0];
  return certificate ?? damaged(folder, `${name}.crt.pem is missing or empty`);
}

function certificatePath(folder: string, name: string): string {
  return join(folder, `${name}.crt.pem`);
}

function damaged(folder: string, what: string): never {
  const message = `the CA's state in ${folder} is damaged: ${what}; restore it from a backup, or remove the folder to start with new roots`;
  throw new BulwarkError("BW_CA_STATE_DAMAGED", message, { detail: { folder, what } });
}
