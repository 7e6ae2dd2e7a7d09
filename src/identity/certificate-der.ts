import { contextTag, DerError, DerReader, TAG } from "./der-reader.ts";
import { OID } from "./object-ids.ts";

export interface CertificateExtension {
  readonly critical: boolean;
  /** The DER inside the OCTET STRING. */
  readonly value: Buffer;
}

/** An X.509 certificate taken apart, nothing judged. Buffers are views of the certificate's bytes. */
export interface CertificateFields {
  /** 3 for every certificate that can carry an identity. */
  readonly version: number;
  /** Lower-case hexadecimal of the magnitude, without a leading zero byte. */
  readonly serial: string;
  readonly signatureAlgorithm: Buffer;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spki: Buffer;
  /** By object id in hexadecimal. */
  readonly extensions: ReadonlyMap<string, CertificateExtension>;
}

export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** Far above what a chain with hybrid signatures needs; TLS itself allows 16 MiB. */
const MAX_CERTIFICATE_BYTES = 65_536;

/**
 * Takes a certificate apart.
 * @throws {DerError} when it is not strict DER of RFC 5280 §4.1, or repeats an extension.
 */
export function readCertificate(der: Buffer): CertificateFields {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new DerError("certificate of more than 64 KiB");
  const file = new DerReader(der);
  const certificate = file.within(TAG.sequence);
  file.finish();
  const tbs = certificate.within(TAG.sequence);
  const outerAlgorithm = certificate.whole(TAG.sequence);
  certificate.bitString();
  certificate.finish();
  const fields = readTbs(tbs);
  // RFC 5280 §4.1.1.2: the same identifier inside the signed part and outside of it.
  if (!fields.signatureAlgorithm.equals(outerAlgorithm)) throw new DerError("two signature algorithms");
  return fields;
}

function readTbs(tbs: DerReader): CertificateFields {
  const version = tbs.nextTag === contextTag(0) ? readVersion(tbs.within(contextTag(0))) : 1;
  const serial = readSerial(tbs.integer());
  const signatureAlgorithm = tbs.whole(TAG.sequence);
  const issuer = tbs.whole(TAG.sequence);
  const validity = tbs.within(TAG.sequence);
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.finish();
  const subject = tbs.whole(TAG.sequence);
  const spki = tbs.whole(TAG.sequence);
  // issuerUniqueID and subjectUniqueID: RFC 5280 forbids writing them, readers pass over them.
  if (tbs.nextTag === 0x81) tbs.element();
  if (tbs.nextTag === 0x82) tbs.element();
  const extensions = tbs.done ? new Map() : readExtensions(tbs.within(contextTag(3)));
  tbs.finish();
  return { version, serial, signatureAlgorithm, issuer, subject, notBefore, notAfter, spki, extensions };
}

function readVersion(reader: DerReader): number {
  const bytes = reader.integer();
  reader.finish();
  const version = bytes[0];
  if (bytes.length !== 1 || version === undefined || version > 2) throw new DerError("unknown version");
  return version + 1;
}

function readSerial(bytes: Buffer): string {
  const first = bytes[0] ?? 0;
  if (first >= 0x80) throw new DerError("negative serial");
  return (first === 0 && bytes.length > 1 ? bytes.subarray(1) : bytes).toString("hex");
}

function readExtensions(outer: DerReader): Map<string, CertificateExtension> {
  const list = outer.within(TAG.sequence);
  outer.finish();
  const extensions = new Map<string, CertificateExtension>();
  while (!list.done) {
    const extension = list.within(TAG.sequence);
    const oid = extension.oid();
    const critical = extension.nextTag === TAG.boolean && extension.boolean();
    const value = extension.content(TAG.octetString);
    extension.finish();
    if (extensions.has(oid)) throw new DerError("extension given twice");
    extensions.set(oid, { critical, value });
  }
  return extensions;
}

/** The URI and DNS names of a certificate; both empty without the extension. @throws {DerError} */
export function readSubjectAltNames(certificate: CertificateFields): SubjectAltNames {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const extension = certificate.extensions.get(OID.subjectAltName);
  if (extension === undefined) return { uris, dnsNames };
  const file = new DerReader(extension.value);
  const names = file.within(TAG.sequence);
  file.finish();
  while (!names.done) {
    // GeneralName (RFC 5280 §4.2.1.6): dNSName [2], uniformResourceIdentifier [6], both IA5String.
    if (names.nextTag === 0x82) dnsNames.push(visibleAscii(names.content(0x82)));
    else if (names.nextTag === 0x86) uris.push(visibleAscii(names.content(0x86)));
    else names.element();
  }
  return { uris, dnsNames };
}

/** Names are compared as text: a NUL, a space or a byte outside of ASCII has no place in one. */
function visibleAscii(bytes: Buffer): string {
  const text = bytes.toString("latin1");
  if (!/^[\x21-\x7e]+$/.test(text)) throw new DerError("name with other than visible ASCII");
  return text;
}

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength?: number;
}

/** What a certificate says about being a CA; a missing extension says no. @throws {DerError} */
export function readBasicConstraints(certificate: CertificateFields): BasicConstraints {
  const extension = certificate.extensions.get(OID.basicConstraints);
  if (extension === undefined) return { ca: false };
  const file = new DerReader(extension.value);
  const sequence = file.within(TAG.sequence);
  file.finish();
  const ca = sequence.nextTag === TAG.boolean && sequence.boolean();
  if (sequence.done) return { ca };
  const pathLength = sequence.integer();
  sequence.finish();
  return { ca, pathLength: pathLength.readUIntBE(0, Math.min(pathLength.length, 6)) };
}

/** First byte of KeyUsage: bit 0 (digitalSignature) is 0x80, keyCertSign 0x04, cRLSign 0x02; undefined without the extension. @throws {DerError} */
export function readKeyUsage(certificate: CertificateFields): number | undefined {
  const extension = certificate.extensions.get(OID.keyUsage);
  if (extension === undefined) return undefined;
  const file = new DerReader(extension.value);
  const bits = file.content(TAG.bitString);
  file.finish();
  const first = bits[1];
  if (first === undefined || (bits[0] ?? 8) > 7) throw new DerError("empty key usage");
  return first;
}

/** The purposes of ExtendedKeyUsage as object ids; undefined without the extension. @throws {DerError} */
export function readExtendedKeyUsage(certificate: CertificateFields): readonly string[] | undefined {
  const extension = certificate.extensions.get(OID.extendedKeyUsage);
  if (extension === undefined) return undefined;
  const file = new DerReader(extension.value);
  const list = file.within(TAG.sequence);
  file.finish();
  const purposes: string[] = [];
  while (!list.done) purposes.push(list.oid());
  return purposes;
}

/** The subject key identifier in hexadecimal; undefined without the extension. @throws {DerError} */
export function readSubjectKeyId(certificate: CertificateFields): string | undefined {
  const extension = certificate.extensions.get(OID.subjectKeyIdentifier);
  return extension && new DerReader(extension.value).content(TAG.octetString).toString("hex");
}

/** The authority key identifier's keyIdentifier [0] in hexadecimal; undefined when there is none. @throws {DerError} */
export function readAuthorityKeyId(certificate: CertificateFields): string | undefined {
  const extension = certificate.extensions.get(OID.authorityKeyIdentifier);
  if (extension === undefined) return undefined;
  const sequence = new DerReader(extension.value).within(TAG.sequence);
  return sequence.nextTag === 0x80 ? sequence.content(0x80).toString("hex") : undefined;
}

export interface NameConstraints {
  readonly critical: boolean;
  /** Of the permitted subtrees the URI ones: a host, or a domain that starts with a dot. */
  readonly permittedUriHosts: readonly string[];
  readonly excludedUriHosts: readonly string[];
  /** How many subtrees of other kinds of names there are, permitted and excluded. */
  readonly others: number;
}

/** What names a signer's certificates may hold; undefined without the extension. @throws {DerError} */
export function readNameConstraints(certificate: CertificateFields): NameConstraints | undefined {
  const extension = certificate.extensions.get(OID.nameConstraints);
  if (extension === undefined) return undefined;
  const file = new DerReader(extension.value);
  const constraints = file.within(TAG.sequence);
  file.finish();
  const permitted = readSubtrees(constraints, 0);
  const excluded = readSubtrees(constraints, 1);
  constraints.finish();
  return {
    critical: extension.critical,
    permittedUriHosts: permitted.hosts,
    excludedUriHosts: excluded.hosts,
    others: permitted.others + excluded.others,
  };
}

function readSubtrees(constraints: DerReader, tag: number): { hosts: string[]; others: number } {
  const found = { hosts: [] as string[], others: 0 };
  if (constraints.nextTag !== contextTag(tag)) return found;
  const list = constraints.within(contextTag(tag));
  while (!list.done) {
    // GeneralSubtree: a base, and minimum and maximum, which RFC 5280 leaves no use for.
    const subtree = list.within(TAG.sequence);
    if (subtree.nextTag === 0x86) found.hosts.push(visibleAscii(subtree.content(0x86)));
    else {
      subtree.element();
      found.others++;
    }
    subtree.finish();
  }
  return found;
}

/** The bytes of the BIT STRING in a SubjectPublicKeyInfo, which key identifiers are made of. @throws {DerError} */
export function readPublicKeyBits(spki: Buffer): Buffer {
  const file = new DerReader(spki);
  const info = file.within(TAG.sequence);
  file.finish();
  info.element(TAG.sequence);
  const bits = info.bitString();
  info.finish();
  return bits;
}
