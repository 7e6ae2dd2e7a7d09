import { X509Certificate } from "node:crypto";
import { BulwarkError } from "../resources/bulwark-error.ts";
import {
  type CertificateFields,
  readAuthorityKeyId,
  readBasicConstraints,
  readCertificate,
  readExtendedKeyUsage,
  readKeyUsage,
  readNameConstraints,
  readSubjectAltNames,
  readSubjectKeyId,
} from "./certificate-der.ts";
import { DerError } from "./der-reader.ts";
import { OID } from "./object-ids.ts";
import { type RevocationPointers, readRevocationPointers } from "./revocation-pointers.ts";
import type { IssuerCertificate } from "./sign.ts";
import type { CertificateProfile, CertificateTemplate } from "./template.ts";

interface ExpectedUse {
  readonly ca: boolean;
  readonly pathLength: number | undefined;
  readonly keyUsage: number;
  readonly purposes: readonly string[] | undefined;
}

const SIGNER_USE = { ca: true, keyUsage: 0x06, purposes: undefined };
const LEAF_USE = { ca: false, pathLength: undefined, keyUsage: 0x80 };

const EXPECTED_USE: Readonly<Record<CertificateProfile, ExpectedUse>> = {
  workload: { ...LEAF_USE, purposes: [OID.serverAuth, OID.clientAuth] },
  "external-server": { ...LEAF_USE, purposes: [OID.serverAuth] },
  "ocsp-responder": { ...LEAF_USE, purposes: [OID.ocspSigning] },
  intermediate: { ...SIGNER_USE, pathLength: 0 },
  root: { ...SIGNER_USE, pathLength: undefined },
};

const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set([
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.basicConstraints,
  OID.subjectKeyIdentifier,
  OID.authorityKeyIdentifier,
  OID.subjectAltName,
  OID.nameConstraints,
]);

/**
 * Reads a certificate that was just signed back from its bytes and holds it against its template: the CA trusts
 * nothing, its own encoder included. Two readers must agree, this room's and OpenSSL's, and OpenSSL checks the signature.
 * @param signer the issuer; a root's own signer when it signed itself.
 * @throws {BulwarkError} BW_CA_ISSUED_MISMATCH naming the first difference; the certificate must then not be handed out.
 */
export function verifyIssued(
  certificate: Buffer,
  template: CertificateTemplate,
  signer: Pick<IssuerCertificate, "x509" | "publicKey">,
): void {
  const difference =
    firstDifference(certificate, template) ?? opensslDifference(certificate, template, signer);
  if (difference === undefined) return;
  throw new BulwarkError(
    "BW_CA_ISSUED_MISMATCH",
    `a signed certificate is not what was to be signed: ${difference}`,
    {
      detail: { difference, serial: template.serial.toString("hex") },
    },
  );
}

function firstDifference(certificate: Buffer, template: CertificateTemplate): string | undefined {
  try {
    const fields = readCertificate(certificate);
    return fieldDifference(fields, template) ?? extensionDifference(fields, template);
  } catch (error) {
    if (error instanceof DerError) return error.message;
    throw error;
  }
}

function fieldDifference(fields: CertificateFields, template: CertificateTemplate): string | undefined {
  if (fields.version !== 3) return "version";
  if (fields.serial !== template.serial.toString("hex")) return "serial";
  if (!fields.issuer.equals(template.issuer)) return "issuer";
  if (!fields.subject.equals(template.subject)) return "subject";
  if (fields.notBefore.getTime() !== template.notBefore.getTime()) return "notBefore";
  if (fields.notAfter.getTime() !== template.notAfter.getTime()) return "notAfter";
  return fields.spki.equals(template.spki) ? undefined : "public key";
}

function extensionDifference(fields: CertificateFields, template: CertificateTemplate): string | undefined {
  const use = EXPECTED_USE[template.profile];
  const isResponder = template.profile === "ocsp-responder";
  for (const oid of fields.extensions.keys())
    if (!KNOWN_EXTENSIONS.has(oid) && !(isResponder && oid === OID.ocspNoCheck) && !isPointer(oid, template))
      return `extension ${oid}`;
  if (isResponder !== fields.extensions.has(OID.ocspNoCheck)) return "id-pkix-ocsp-nocheck";
  const constraints = readBasicConstraints(fields);
  if (constraints.ca !== use.ca || constraints.pathLength !== use.pathLength) return "basicConstraints";
  if (readKeyUsage(fields) !== use.keyUsage) return "keyUsage";
  if (!sameList(readExtendedKeyUsage(fields), use.purposes)) return "extendedKeyUsage";
  if (readSubjectKeyId(fields) !== template.subjectKeyId.toString("hex")) return "subjectKeyIdentifier";
  if (readAuthorityKeyId(fields) !== template.authorityKeyId?.toString("hex"))
    return "authorityKeyIdentifier";
  if (!sameConstraints(fields, template.permittedUriHost)) return "nameConstraints";
  if (template.revocationPointers !== undefined && !samePointers(fields, template.revocationPointers))
    return "revocation pointers";
  const names = readSubjectAltNames(fields);
  if (!sameList(names.uris, template.uris) || !sameList(names.dnsNames, template.dnsNames))
    return "subjectAltName";
  const hasNames = template.uris.length + template.dnsNames.length > 0;
  const nameless = hasNames ? template.subject.length === 2 : undefined;
  if (fields.extensions.get(OID.subjectAltName)?.critical !== nameless) return "critical subjectAltName";
  const critical = [OID.basicConstraints, OID.keyUsage].every(
    (oid) => fields.extensions.get(oid)?.critical === true,
  );
  return critical ? undefined : "critical extensions";
}

function isPointer(oid: string, { revocationPointers }: CertificateTemplate): boolean {
  return (
    revocationPointers !== undefined && (oid === OID.crlDistributionPoints || oid === OID.authorityInfoAccess)
  );
}

function samePointers({ extensions }: CertificateFields, expected: RevocationPointers): boolean {
  const { crlUrls, ocspUrls } = readRevocationPointers(extensions);
  const isCritical = [OID.crlDistributionPoints, OID.authorityInfoAccess].some(
    (oid) => extensions.get(oid)?.critical === true,
  );
  return !isCritical && sameList(crlUrls, expected.crlUrls) && sameList(ocspUrls, expected.ocspUrls);
}

function sameConstraints(fields: CertificateFields, uriHost: string | undefined): boolean {
  const constraints = readNameConstraints(fields);
  if (constraints === undefined || uriHost === undefined)
    return constraints === undefined && uriHost === undefined;
  const { critical, permittedUriHosts, others } = constraints;
  return critical && others === 0 && sameList(permittedUriHosts, [uriHost]);
}

function opensslDifference(
  certificate: Buffer,
  template: CertificateTemplate,
  signer: Pick<IssuerCertificate, "x509" | "publicKey">,
): string | undefined {
  try {
    const read = new X509Certificate(certificate);
    const names = [
      ...template.uris.map((uri) => `URI:${uri}`),
      ...template.dnsNames.map((name) => `DNS:${name}`),
    ];
    if ((read.subjectAltName ?? "") !== names.join(", ")) return "names as OpenSSL reads them";
    if (read.ca !== EXPECTED_USE[template.profile].ca) return "CA flag as OpenSSL reads it";
    if (!read.checkIssued(signer.x509)) return "issuer as OpenSSL matches it";
    return read.verify(signer.publicKey) ? undefined : "signature";
  } catch {
    return "OpenSSL cannot read it";
  }
}

function sameList(left: readonly string[] | undefined, right: readonly string[] | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left.length === right.length && left.every((item, i) => item === right[i]);
}
