import { type KeyObject, sign } from "node:crypto";
import { BulwarkError, type BulwarkErrorCode } from "../resources/bulwark-error.ts";
import { contextTag, DerError, DerReader, TAG } from "./der-reader.ts";
import { der, derBitString, encodeDer } from "./der-writer.ts";
import { type KeyAlgorithm, keyAlgorithmOf, readPublicKey, spkiOf, verifyWith } from "./key-algorithm.ts";
import { algorithmIdentifier } from "./sign.ts";

/** The part of a certificate request that the CA believes: the key, once its possession is proven. */
export interface VerifiedCsr {
  /** SubjectPublicKeyInfo, in its canonical encoding. */
  readonly spki: Buffer;
  readonly algorithm: KeyAlgorithm;
}

/** Room for an RSA-8192 key and signature and generous attributes. */
const MAX_CSR_BYTES = 16_384;

/**
 * Checks a PKCS#10 request (DER, RFC 2986) and its proof of possession. Subject and attributes are read over and
 * dropped: who the caller is was verified elsewhere, and the request does not get a say in it.
 * @throws {BulwarkError} BW_CA_CSR_TOO_LARGE, BW_CA_CSR_MALFORMED, BW_CA_CSR_WEAK_KEY,
 * BW_CA_CSR_SIGNATURE_ALGORITHM, BW_CA_CSR_PROOF_OF_POSSESSION.
 */
export function verifyCsr(csr: Buffer): VerifiedCsr {
  if (csr.length > MAX_CSR_BYTES)
    refuse("BW_CA_CSR_TOO_LARGE", `a certificate request has at most ${MAX_CSR_BYTES} bytes`);
  try {
    return checkCsr(csr);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new BulwarkError("BW_CA_CSR_MALFORMED", `the certificate request cannot be read: ${error.message}`);
  }
}

function checkCsr(csr: Buffer): VerifiedCsr {
  const parts = readCsr(csr);
  const key = readPublicKey(parts.spki);
  if ("weak" in key) refuse("BW_CA_CSR_WEAK_KEY", `the request's key is refused: ${key.weak}`);
  const hash = key.algorithm.proofHashes[parts.signatureOid];
  if (hash === undefined) {
    const name = key.algorithm.name;
    refuse(
      "BW_CA_CSR_SIGNATURE_ALGORITHM",
      `the request's signature algorithm is not one for its ${name} key`,
    );
  }
  if (!verifyWith(parts.spki, hash, parts.signed, parts.signature)) {
    refuse("BW_CA_CSR_PROOF_OF_POSSESSION", "the request is not signed by the key that it carries");
  }
  return { spki: parts.spki, algorithm: key.algorithm };
}

function readCsr(csr: Buffer): { signed: Buffer; spki: Buffer; signatureOid: string; signature: Buffer } {
  const file = new DerReader(csr);
  const request = file.within(TAG.sequence);
  file.finish();
  const signed = request.whole(TAG.sequence);
  const algorithm = request.within(TAG.sequence);
  const signatureOid = algorithm.oid();
  // RSA's identifiers carry a NULL, the others nothing.
  if (!algorithm.done) algorithm.element(TAG.null);
  algorithm.finish();
  const signature = request.bitString();
  request.finish();
  const info = new DerReader(signed).within(TAG.sequence);
  if (!info.integer().equals(VERSION_0)) throw new DerError("version other than 0");
  info.element(TAG.sequence);
  const spki = info.whole(TAG.sequence);
  if (!info.done) info.element(contextTag(0));
  info.finish();
  return { signed, spki, signatureOid, signature };
}

const VERSION_0 = Buffer.from([0]);

/**
 * A request for a certificate for this key, in DER: empty subject, no attributes, since the CA would not read them.
 * @see RFC 2986
 */
export function encodeCsr(privateKey: KeyObject): Buffer {
  const algorithm = keyAlgorithmOf(privateKey);
  if (algorithm === undefined)
    throw new Error("BUG: a request for a key of a kind that the CA does not sign");
  const version = der(TAG.integer, VERSION_0);
  const info = encodeDer(
    der(TAG.sequence, version, der(TAG.sequence), spkiOf(privateKey), der(contextTag(0))),
  );
  const signature = sign(algorithm.hash, info, privateKey);
  return encodeDer(der(TAG.sequence, info, algorithmIdentifier(algorithm), derBitString(signature)));
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
