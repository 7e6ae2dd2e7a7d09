import { createPrivateKey, X509Certificate } from "node:crypto";
import type { CertificateFacts } from "../analysis/audit/audit-context.ts";

/**
 * What an audit judges a certificate by.
 * @param pem the first certificate in it counts, as for who serves with it
 * @param key of who serves with it, PEM
 */
export function certificateFacts(pem: string, key = ""): CertificateFacts | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return undefined;
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  return {
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    names: namesOf(certificate.subjectAltName ?? ""),
    keyType: asymmetricKeyType ?? "unknown",
    keyBits: asymmetricKeyDetails?.modulusLength,
    signature: isRoot(certificate) ? undefined : certificate.signatureAlgorithm,
    hasItsKey: isItsKey(certificate, key),
  };
}

/** Nobody verifies the signature of what is trusted as it stands. */
function isRoot(certificate: X509Certificate): boolean {
  return certificate.ca && certificate.subject === certificate.issuer;
}

function isItsKey(certificate: X509Certificate, key: string): boolean | undefined {
  if (!key.includes("PRIVATE KEY-----")) return undefined;
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    // Encrypted, or no key.
    return undefined;
  }
}

/** `DNS:a.example, IP Address:192.0.2.1` */
function namesOf(subjectAltName: string): readonly string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(([, name]) => name ?? "");
}
