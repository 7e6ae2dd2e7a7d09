import { contextTag, DerError, DerReader, TAG } from "../der-reader.ts";
import { OID } from "../object-ids.ts";

/** Hashes that requests may name their issuer by. SHA-1 is what RFC 5019 asks for; nothing is protected by it here. */
const HASHES: Readonly<Record<string, OcspHash>> = {
  [OID.sha1]: "sha1",
  [OID.sha256]: "sha256",
  [OID.sha384]: "sha384",
  [OID.sha512]: "sha512",
};

export type OcspHash = "sha1" | "sha256" | "sha384" | "sha512";

/** Which certificate is asked about. */
export interface OcspCertificateId {
  /** Undefined: a hash that is not known here, so neither is the issuer. */
  readonly hash: OcspHash | undefined;
  /** Hexadecimal. */
  readonly issuerNameHash: string;
  readonly issuerKeyHash: string;
  /** Lower-case hexadecimal, no leading zero byte. */
  readonly serial: string;
  /** The CertID as it came, header included: answers repeat it. */
  readonly der: Buffer;
}

export interface OcspRequest {
  readonly certificates: readonly OcspCertificateId[];
  /** The extension's value as it came; undefined without one. */
  readonly nonce: Buffer | undefined;
}

/** Why bytes are no request; `error` never quotes them. */
export interface OcspRequestProblem {
  readonly error: string;
}

const MAX_REQUEST_BYTES = 16_384;
/** RFC 5019 asks about one; more than a few are a way to make a small request costly. */
const MAX_CERTIFICATES = 32;
/** RFC 9654 §2.1: at most 128 bytes, none is malformed. */
const MAX_NONCE_BYTES = 128;
const MAX_SERIAL_BYTES = 32;

/**
 * Reads an OCSP request. Never throws. A signature on it is passed over: answers are for everybody.
 * @see RFC 6960 §4.1
 */
export function readOcspRequest(der: Buffer): OcspRequest | OcspRequestProblem {
  if (der.length > MAX_REQUEST_BYTES) return { error: "request of more than 16 KiB" };
  try {
    return readRequest(der);
  } catch (error) {
    if (error instanceof DerError) return { error: error.message };
    throw error;
  }
}

function readRequest(der: Buffer): OcspRequest {
  const file = new DerReader(der);
  const request = file.within(TAG.sequence);
  file.finish();
  const tbs = request.within(TAG.sequence);
  if (request.nextTag === contextTag(0)) request.element();
  request.finish();
  if (tbs.nextTag === contextTag(0)) readVersion(tbs.within(contextTag(0)));
  if (tbs.nextTag === contextTag(1)) tbs.element();
  const certificates = readCertificates(tbs.within(TAG.sequence), der);
  const nonce = tbs.nextTag === contextTag(2) ? readExtensions(tbs.within(contextTag(2))) : undefined;
  tbs.finish();
  return { certificates, nonce };
}

/** Version 1 is the only one, and the default, which DER leaves out; OpenSSL's older versions write it. */
function readVersion(reader: DerReader): void {
  const version = reader.integer();
  reader.finish();
  if (version.length !== 1 || version[0] !== 0) throw new DerError("unknown version");
}

function readCertificates(list: DerReader, der: Buffer): readonly OcspCertificateId[] {
  const certificates: OcspCertificateId[] = [];
  while (!list.done) {
    if (certificates.length === MAX_CERTIFICATES) throw new DerError("too many certificates in one request");
    const single = list.within(TAG.sequence);
    certificates.push(readCertificateId(single, der));
    if (single.nextTag === contextTag(0)) refuseCritical(single.within(contextTag(0)));
    single.finish();
  }
  if (certificates.length === 0) throw new DerError("no certificate in the request");
  return certificates;
}

function readCertificateId(single: DerReader, der: Buffer): OcspCertificateId {
  const { start, contentStart, end } = single.element(TAG.sequence);
  const id = new DerReader(der, contentStart, end);
  const algorithm = id.within(TAG.sequence);
  const oid = algorithm.oid();
  if (algorithm.nextTag === TAG.null) algorithm.element();
  algorithm.finish();
  const issuerNameHash = id.content(TAG.octetString).toString("hex");
  const issuerKeyHash = id.content(TAG.octetString).toString("hex");
  const serial = readSerial(id.integer());
  id.finish();
  return { hash: HASHES[oid], issuerNameHash, issuerKeyHash, serial, der: der.subarray(start, end) };
}

function readSerial(bytes: Buffer): string {
  const first = bytes[0] ?? 0;
  if (first >= 0x80) throw new DerError("negative serial");
  if (bytes.length > MAX_SERIAL_BYTES) throw new DerError("serial of absurd length");
  return (first === 0 && bytes.length > 1 ? bytes.subarray(1) : bytes).toString("hex");
}

/** @returns the nonce. */
function readExtensions(outer: DerReader): Buffer | undefined {
  let nonce: Buffer | undefined;
  const seen = new Set<string>();
  for (const { oid, critical, value } of extensions(outer)) {
    if (seen.has(oid)) throw new DerError("extension given twice");
    seen.add(oid);
    if (oid === OID.ocspNonce) nonce = checkedNonce(value);
    else if (critical) throw new DerError("critical extension that is not known");
  }
  return nonce;
}

function checkedNonce(value: Buffer): Buffer {
  const file = new DerReader(value);
  const nonce = file.content(TAG.octetString);
  file.finish();
  if (nonce.length === 0 || nonce.length > MAX_NONCE_BYTES) throw new DerError("nonce of absurd length");
  return value;
}

function refuseCritical(outer: DerReader): void {
  for (const { critical } of extensions(outer))
    if (critical) throw new DerError("critical extension that is not known");
}

function* extensions(outer: DerReader): Generator<{ oid: string; critical: boolean; value: Buffer }> {
  const list = outer.within(TAG.sequence);
  outer.finish();
  if (list.done) throw new DerError("empty list of extensions");
  while (!list.done) {
    const extension = list.within(TAG.sequence);
    const oid = extension.oid();
    const critical = extension.nextTag === TAG.boolean && extension.boolean();
    const value = extension.content(TAG.octetString);
    extension.finish();
    yield { oid, critical, value };
  }
}
