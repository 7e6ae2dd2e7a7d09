import { contextTag, TAG } from "./der-reader.ts";
import { type DerNode, der, derOid, derTime, encodeDer } from "./der-writer.ts";
import { OID } from "./object-ids.ts";
import { encodeRevocationPointers } from "./revocation-pointers.ts";
import type { CertificateProfile, CertificateTemplate } from "./template.ts";

/** First byte of KeyUsage and how many of its low bits are unused (RFC 5280 §4.2.1.3). */
const DIGITAL_SIGNATURE = { bits: 0x80, unused: 7 };
const CERT_AND_CRL_SIGN = { bits: 0x06, unused: 1 };

const TRUE = encodeDer(der(TAG.boolean, Buffer.from([0xff])));
/** DER leaves a default out: `critical` is FALSE by being absent. */
const NOT_CRITICAL = Buffer.alloc(0);
const VERSION_3 = encodeDer(der(contextTag(0), der(TAG.integer, Buffer.from([2]))));
const NO_FURTHER_CA = encodeDer(der(TAG.integer, Buffer.from([0])));
const SUBJECT_KEY_ID = derOid(OID.subjectKeyIdentifier);
const AUTHORITY_KEY_ID = derOid(OID.authorityKeyIdentifier);
const NAME_CONSTRAINTS = derOid(OID.nameConstraints);
const SUBJECT_ALT_NAME = derOid(OID.subjectAltName);

/** The extensions that all certificates of a profile share, encoded once: they are most of what a leaf holds. */
const PROFILE_EXTENSIONS: Readonly<Record<CertificateProfile, Buffer>> = {
  workload: Buffer.concat([
    keyUsage(DIGITAL_SIGNATURE),
    extendedKeyUsage(OID.serverAuth, OID.clientAuth),
    basicConstraints(),
  ]),
  "external-server": Buffer.concat([
    keyUsage(DIGITAL_SIGNATURE),
    extendedKeyUsage(OID.serverAuth),
    basicConstraints(),
  ]),
  "ocsp-responder": Buffer.concat([
    keyUsage(DIGITAL_SIGNATURE),
    extendedKeyUsage(OID.ocspSigning),
    basicConstraints(),
    // Whoever trusts its answers need not ask whether it is revoked itself: it lives for days only (RFC 6960 §4.2.2.2.1).
    encodeDer(extension(derOid(OID.ocspNoCheck), NOT_CRITICAL, der(TAG.null))),
  ]),
  intermediate: Buffer.concat([keyUsage(CERT_AND_CRL_SIGN), basicConstraints(TRUE, NO_FURTHER_CA)]),
  root: Buffer.concat([keyUsage(CERT_AND_CRL_SIGN), basicConstraints(TRUE)]),
};

/** What an intermediate of ours may do, for a request to an outside CA: key usage and basic constraints, one after the other. */
export function intermediateExtensions(): Buffer {
  return PROFILE_EXTENSIONS.intermediate;
}

/** The part of a certificate that gets signed, in DER (RFC 5280 §4.1). Pure: the same template gives the same bytes. */
export function encodeTbsCertificate(template: CertificateTemplate, signatureAlgorithm: Buffer): Buffer {
  const { subjectKeyId, authorityKeyId } = template;
  const extensions = [
    PROFILE_EXTENSIONS[template.profile],
    extension(SUBJECT_KEY_ID, NOT_CRITICAL, der(TAG.octetString, subjectKeyId)),
    ...(authorityKeyId === undefined ? [] : [authorityExtension(authorityKeyId)]),
    ...(template.permittedUriHost === undefined ? [] : [nameConstraints(template.permittedUriHost)]),
    ...(template.uris.length + template.dnsNames.length === 0 ? [] : [subjectAltName(template)]),
  ];
  if (template.revocationPointers !== undefined)
    extensions.push(encodeRevocationPointers(template.revocationPointers));
  const tbs = der(
    TAG.sequence,
    VERSION_3,
    der(TAG.integer, template.serial),
    signatureAlgorithm,
    template.issuer,
    der(TAG.sequence, derTime(template.notBefore), derTime(template.notAfter)),
    template.subject,
    template.spki,
    der(contextTag(3), der(TAG.sequence, ...extensions)),
  );
  return encodeDer(tbs);
}

function subjectAltName(template: CertificateTemplate): DerNode {
  const names = [
    ...template.uris.map((uri) => der(0x86, Buffer.from(uri, "latin1"))),
    ...template.dnsNames.map((name) => der(0x82, Buffer.from(name, "latin1"))),
  ];
  // RFC 5280 §4.2.1.6: critical when there is no subject, since then this is all that names the holder.
  const critical = template.subject.length === 2 ? TRUE : NOT_CRITICAL;
  return extension(SUBJECT_ALT_NAME, critical, der(TAG.sequence, ...names));
}

function authorityExtension(keyId: Buffer): DerNode {
  return extension(AUTHORITY_KEY_ID, NOT_CRITICAL, der(TAG.sequence, der(0x80, keyId)));
}

/** Critical, as RFC 5280 §4.2.1.10 has it: who does not understand it must refuse. */
function nameConstraints(uriHost: string): DerNode {
  const subtree = der(TAG.sequence, der(0x86, Buffer.from(uriHost, "latin1")));
  return extension(NAME_CONSTRAINTS, TRUE, der(TAG.sequence, der(contextTag(0), subtree)));
}

function extension(oid: Buffer, critical: Buffer, value: DerNode): DerNode {
  return der(TAG.sequence, oid, critical, der(TAG.octetString, value));
}

function keyUsage(usage: { bits: number; unused: number }): Buffer {
  const value = der(TAG.bitString, Buffer.from([usage.unused, usage.bits]));
  return encodeDer(extension(derOid(OID.keyUsage), TRUE, value));
}

function extendedKeyUsage(...purposes: readonly string[]): Buffer {
  const list = der(TAG.sequence, ...purposes.map(derOid));
  return encodeDer(extension(derOid(OID.extendedKeyUsage), NOT_CRITICAL, list));
}

function basicConstraints(...parts: readonly Buffer[]): Buffer {
  return encodeDer(extension(derOid(OID.basicConstraints), TRUE, der(TAG.sequence, ...parts)));
}
