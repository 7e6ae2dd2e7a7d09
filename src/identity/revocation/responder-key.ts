import { hash, randomBytes } from "node:crypto";
import { readPublicKeyBits } from "../certificate-der.ts";
import { KEY_ALGORITHMS } from "../key-algorithm.ts";
import { type CaSigner, memorySigner } from "../keys/ca-signer.ts";
import { type Issuer, issueCertificate } from "../sign.ts";
import { responderTemplate, serialFrom, validityFrom } from "../template.ts";
import { verifyIssued } from "../verify-issued.ts";

/** A key that answers in an issuer's place. */
export interface ResponderKey {
  readonly key: CaSigner;
  /** SHA-1 of the public key's bits: how answers name their signer (RFC 6960 §4.2.1). */
  readonly keyHash: Buffer;
  readonly certificate: Buffer;
  /** Milliseconds since the epoch. */
  readonly renewAtMs: number;
}

/** Nobody asks whether this key is revoked, so it lives for days. */
const TTL_SECONDS = 7 * 86_400;

/**
 * Makes one, in memory only: a responder that is started again makes another.
 * @throws {BulwarkError} BW_CA_SIGNER_EXPIRED, BW_CA_ISSUED_MISMATCH, BW_KEY_….
 */
export async function makeResponderKey(issuer: Issuer, nowMs: number): Promise<ResponderKey> {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const key = memorySigner(privateKey);
  const template = responderTemplate({
    spki: key.spki,
    validity: validityFrom(nowMs, TTL_SECONDS, issuer),
    serial: serialFrom(randomBytes(16)),
    issuer,
  });
  const certificate = await issueCertificate(template, issuer.key);
  verifyIssued(certificate, template, issuer);
  const keyHash = hash("sha1", readPublicKeyBits(key.spki), "buffer");
  return { key, keyHash, certificate, renewAtMs: nowMs + (template.notAfter.getTime() - nowMs) / 2 };
}
