import { type KeyObject, sign, X509Certificate } from "node:crypto";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { readBasicConstraints, readCertificate, readSubjectKeyId } from "./certificate-der.ts";
import { DerError, TAG } from "./der-reader.ts";
import { der, derBitString, derOid, encodeDer } from "./der-writer.ts";
import { encodeTbsCertificate } from "./encode-certificate.ts";
import { type KeyAlgorithm, keyAlgorithmOf } from "./key-algorithm.ts";
import type { CaSigner } from "./keys/ca-signer.ts";
import type { CertificateTemplate, TemplateIssuer } from "./template.ts";

/** A certificate that may sign others. */
export interface IssuerCertificate extends TemplateIssuer {
  readonly certificate: Buffer;
  /** The same certificate as OpenSSL reads it, and its key, kept because every certificate it signs is verified with them. */
  readonly x509: X509Certificate;
  readonly publicKey: KeyObject;
  readonly spki: Buffer;
  readonly notBefore: Date;
}

/** A certificate that may sign others, with its key, wherever that is kept. */
export interface Issuer extends IssuerCertificate {
  readonly key: CaSigner;
}

/** A certificate that may sign others, with its key in this process: for what is no CA of a mesh. */
export interface Signer extends IssuerCertificate {
  readonly privateKey: KeyObject;
}

/**
 * Signs a template as it stands; judging it is the work of whoever made it and of `verifyIssued`.
 * @returns DER.
 * @throws {BulwarkError} BW_KEY_… when the key's place does not sign.
 */
export async function issueCertificate(template: CertificateTemplate, key: CaSigner): Promise<Buffer> {
  const identifier = algorithmIdentifier(key.algorithm);
  const tbs = encodeTbsCertificate(template, identifier);
  return signed(tbs, identifier, await key.sign(tbs));
}

/** As {@link issueCertificate}, at once, with a key of this process. */
export function signCertificate(template: CertificateTemplate, privateKey: KeyObject): Buffer {
  const algorithm = keyAlgorithmOf(privateKey);
  if (algorithm === undefined) throw new Error("BUG: a signing key of a kind that no certificate names");
  const identifier = algorithmIdentifier(algorithm);
  const tbs = encodeTbsCertificate(template, identifier);
  return signed(tbs, identifier, sign(algorithm.hash, tbs, privateKey));
}

function signed(tbs: Buffer, identifier: Buffer, signature: Buffer): Buffer {
  return encodeDer(der(TAG.sequence, tbs, identifier, derBitString(signature)));
}

const IDENTIFIERS = new Map<string, Buffer>();

/** The AlgorithmIdentifier of signatures by this kind of key: RSA's has a NULL parameter (RFC 4055), the others none. */
export function algorithmIdentifier(algorithm: KeyAlgorithm): Buffer {
  const known = IDENTIFIERS.get(algorithm.name);
  if (known !== undefined) return known;
  const parameters = algorithm.name === "rsa" ? [der(TAG.null)] : [];
  const identifier = encodeDer(der(TAG.sequence, derOid(algorithm.signatureOid), ...parameters));
  IDENTIFIERS.set(algorithm.name, identifier);
  return identifier;
}

/** Makes a signer of a stored CA certificate and its key. @throws {BulwarkError} as {@link readIssuerCertificate}. */
export function signerFrom(certificate: Buffer, privateKey: KeyObject): Signer {
  return { ...readIssuerCertificate(certificate), privateKey };
}

/**
 * Reads a CA's certificate.
 * @throws {BulwarkError} BW_CA_NOT_A_SIGNER when the certificate cannot be read or is not a CA's.
 */
export function readIssuerCertificate(certificate: Buffer): IssuerCertificate {
  try {
    const fields = readCertificate(certificate);
    const subjectKeyId = readSubjectKeyId(fields);
    if (!readBasicConstraints(fields).ca || subjectKeyId === undefined)
      throw new DerError("not a CA's certificate");
    const { subject, spki, notBefore, notAfter } = fields;
    const x509 = new X509Certificate(certificate);
    const own = { certificate, x509, publicKey: x509.publicKey };
    return { ...own, subject, spki, notBefore, notAfter, subjectKeyId: Buffer.from(subjectKeyId, "hex") };
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new BulwarkError("BW_CA_NOT_A_SIGNER", `this certificate cannot sign others: ${cause.message}`, {
      cause,
    });
  }
}
