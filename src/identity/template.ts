import { hash } from "node:crypto";
import { type SpiffeId, type TrustDomain, trustDomainSpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { readPublicKeyBits } from "./certificate-der.ts";
import { TAG } from "./der-reader.ts";
import { type DerNode, der, derOid, encodeDer } from "./der-writer.ts";
import { OID } from "./object-ids.ts";
import type { RevocationPointers } from "./revocation-pointers.ts";

/** What a certificate may be used for; the rows are in `encode-certificate.ts`. */
export type CertificateProfile = "workload" | "external-server" | "ocsp-responder" | "intermediate" | "root";

/** Everything that will stand in a certificate, decided before anything is signed. */
export interface CertificateTemplate {
  readonly profile: CertificateProfile;
  /** 16 bytes, the first from 0x40 to 0x7f: positive, and always of full length. */
  readonly serial: Buffer;
  /** DER of the issuer's and the subject's Name. An empty subject makes the subjectAltName critical. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Whole seconds; valid from `notBefore` up to, not including, `notAfter` as OpenSSL counts. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spki: Buffer;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Of a signer: the only host that URI names of certificates below it may have, which for SPIFFE IDs is the trust domain (RFC 5280 §4.2.1.10). */
  readonly permittedUriHost?: string;
  /** 20 bytes each (RFC 7093 method 1); no authority on a root. */
  readonly subjectKeyId: Buffer;
  readonly authorityKeyId?: Buffer;
  /** One object for all certificates of an issuer: what it encodes to is kept. */
  readonly revocationPointers?: RevocationPointers | undefined;
}

/** The public side of a signing certificate, as far as a template depends on it. */
export interface TemplateIssuer {
  readonly subject: Buffer;
  readonly subjectKeyId: Buffer;
  readonly notAfter: Date;
}

export interface WorkloadTemplateInput {
  /** The identity that the CA verified, never one that the request names. */
  readonly identity: SpiffeId;
  readonly spki: Buffer;
  readonly validity: Validity;
  readonly serial: Buffer;
  readonly issuer: TemplateIssuer;
  /** Default: none, and the certificate says nothing of where its state can be asked for. */
  readonly revocationPointers?: RevocationPointers | undefined;
}

/** A workload's certificate: an X.509-SVID with no subject and its identity as the only name. */
export function workloadTemplate(input: WorkloadTemplateInput): CertificateTemplate {
  return {
    profile: "workload",
    serial: input.serial,
    issuer: input.issuer.subject,
    subject: EMPTY_NAME,
    ...input.validity,
    spki: input.spki,
    uris: [input.identity],
    dnsNames: [],
    subjectKeyId: keyIdentifier(input.spki),
    authorityKeyId: input.issuer.subjectKeyId,
    revocationPointers: input.revocationPointers,
  };
}

export interface ServerTemplateInput {
  readonly dnsNames: readonly string[];
  readonly spki: Buffer;
  readonly validity: Validity;
  readonly serial: Buffer;
  readonly issuer: TemplateIssuer;
}

/** An ordinary TLS server's certificate, for stand-ins of hosts outside of the mesh. No mesh CA signs these. */
export function serverTemplate(input: ServerTemplateInput): CertificateTemplate {
  return {
    profile: "external-server",
    serial: input.serial,
    issuer: input.issuer.subject,
    subject: EMPTY_NAME,
    ...input.validity,
    spki: input.spki,
    uris: [],
    dnsNames: input.dnsNames,
    subjectKeyId: keyIdentifier(input.spki),
    authorityKeyId: input.issuer.subjectKeyId,
  };
}

export interface ResponderTemplateInput {
  readonly spki: Buffer;
  readonly validity: Validity;
  readonly serial: Buffer;
  readonly issuer: TemplateIssuer;
}

/** A key that answers about its issuer's certificates in the issuer's place (RFC 6960 §4.2.2.2). It is no workload and has no identity. */
export function responderTemplate(input: ResponderTemplateInput): CertificateTemplate {
  const subjectKeyId = keyIdentifier(input.spki);
  return {
    profile: "ocsp-responder",
    serial: input.serial,
    issuer: input.issuer.subject,
    subject: encodeName(`Bulwark OCSP responder ${subjectKeyId.toString("hex", 0, 8)}`),
    ...input.validity,
    spki: input.spki,
    uris: [],
    dnsNames: [],
    subjectKeyId,
    authorityKeyId: input.issuer.subjectKeyId,
  };
}

export interface AuthorityTemplateInput {
  readonly trustDomain: TrustDomain;
  readonly spki: Buffer;
  readonly validity: Validity;
  readonly serial: Buffer;
  /** None for a root, which signs itself. */
  readonly issuer?: TemplateIssuer;
  readonly revocationPointers?: RevocationPointers | undefined;
}

/** A root's or an intermediate's certificate. Its name holds its key's identifier, so no two generations share one. */
export function authorityTemplate(input: AuthorityTemplateInput): CertificateTemplate {
  const subjectKeyId = keyIdentifier(input.spki);
  const kind = input.issuer === undefined ? "Root" : "Intermediate";
  const subject = encodeName(`Bulwark ${kind} CA ${subjectKeyId.toString("hex", 0, 8)}`);
  return {
    profile: input.issuer === undefined ? "root" : "intermediate",
    serial: input.serial,
    issuer: input.issuer?.subject ?? subject,
    subject,
    ...input.validity,
    spki: input.spki,
    uris: [trustDomainSpiffeId(input.trustDomain)],
    dnsNames: [],
    // Not on a root: trust in it is the bundle's to limit, and constraints on trust anchors are not evaluated everywhere.
    ...(input.issuer && { permittedUriHost: input.trustDomain }),
    subjectKeyId,
    ...(input.issuer && { authorityKeyId: input.issuer.subjectKeyId }),
    revocationPointers: input.revocationPointers,
  };
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Hides small differences between clocks; short lives get a tenth, so that half of the lifetime stays half. */
export const MAX_BACKDATE_SECONDS = 60;

/**
 * From a little before now to `ttlSeconds` after it, in whole seconds, never past the end of the signer.
 * @param nowMs milliseconds since the epoch.
 * @throws {BulwarkError} BW_CA_SIGNER_EXPIRED when the signer has less than a second left, or is not valid yet.
 */
export function validityFrom(nowMs: number, ttlSeconds: number, signer?: Validity): Validity {
  const now = Math.floor(nowMs / 1000);
  const backdated = now - Math.min(MAX_BACKDATE_SECONDS, Math.floor(ttlSeconds / 10));
  const wanted = Math.floor(nowMs / 1000 + ttlSeconds);
  const end = signer === undefined ? wanted : Math.min(wanted, signer.notAfter.getTime() / 1000);
  const start = signer === undefined ? backdated : Math.max(backdated, signer.notBefore.getTime() / 1000);
  if (end <= now || start > now) {
    throw new BulwarkError("BW_CA_SIGNER_EXPIRED", "the signing certificate is not valid at this time", {
      detail: {
        signerNotBefore: signer?.notBefore.toISOString(),
        signerNotAfter: signer?.notAfter.toISOString(),
      },
    });
  }
  return { notBefore: new Date(start * 1000), notAfter: new Date(end * 1000) };
}

/** 16 random bytes made into a positive serial of 126 random bits (CA/Browser Forum asks for 64, RFC 5280 for ≤ 20 bytes). */
export function serialFrom(random: Buffer): Buffer {
  const serial = Buffer.from(random.subarray(0, 16));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** Leftmost 160 bits of SHA-256 over the public key's bits (RFC 7093 §2, method 1). */
export function keyIdentifier(spki: Buffer): Buffer {
  return hash("sha256", readPublicKeyBits(spki), "buffer").subarray(0, 20);
}

/** A Name of O=Bulwark and this common name, in DER. */
export function encodeName(commonName: string): Buffer {
  return encodeDer(
    der(TAG.sequence, attribute(OID.organization, "Bulwark"), attribute(OID.commonName, commonName)),
  );
}

/** A Name of nothing. */
export const EMPTY_NAME = encodeDer(der(TAG.sequence));

function attribute(oid: string, text: string): DerNode {
  return der(TAG.set, der(TAG.sequence, derOid(oid), der(TAG.utf8String, Buffer.from(text, "utf8"))));
}
