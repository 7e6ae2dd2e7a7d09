import { X509Certificate } from "node:crypto";
import type { CertificateFacts } from "../analysis/audit/audit-context.ts";

/** What an audit judges a certificate by. @param pem the first certificate in it counts, as for who serves with it. */
export function certificateFacts(pem: string): CertificateFacts | undefined {
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
  };
}

/** `DNS:a.example, IP Address:192.0.2.1` */
function namesOf(subjectAltName: string): readonly string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(([, name]) => name ?? "");
}
