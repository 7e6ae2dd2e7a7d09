import type { AuditContext } from "../audit-context.ts";
import { writtenCertificates } from "../facts/certificates.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const certificateWeak: AuditRule = {
  id: "BW0864",
  title: "A certificate with a key or a signature that can be broken",
  severity: "high",
  attacks: ["M2", "E2"],
  what: "Certificates in Secrets (`tls.crt`, `cert`, and of the mesh's CA `ca-cert.pem`, `root-cert.pem`) with an RSA key below 2048 bits, or a DSA key; and those that are no roots and signed with MD5 or SHA-1. Read as they stand in the files; what is encrypted or comes from elsewhere is not seen.",
  why: "Keys of 1024 bits are within reach of who has the means; whoever has the key is the server, and with the CA's key every workload. Proxies refuse RSA keys below 2048 bits, so that the server does not answer at all. Two certificates can be made that have one SHA-1 or MD5 hash, and so one signature.",
  fix: "Issue it again with P-256, or RSA of 2048 bits or more, and a signature with SHA-256.",
  claims: ["gateway-certificates"],
  check: weak,
};

const LEAST_RSA_BITS = 2048;
/** `sha1WithRSAEncryption`, `ecdsa-with-SHA1`, `md5WithRSAEncryption`, and not `sha128`. */
const WEAK_HASH = /md[245]|sha-?1(?!\d)/i;

function* weak(audit: AuditContext): Iterable<Hit> {
  for (const { secret, key, facts } of audit.fact(writtenCertificates)) {
    const { keyType, keyBits, signature } = facts;
    const path = ["data", key];
    const isWeak = keyType === "dsa" || (keyType.startsWith("rsa") && (keyBits ?? 0) < LEAST_RSA_BITS);
    if (isWeak)
      yield {
        resource: secret,
        path,
        title: `\`${key}\` has a key of ${keyType.toUpperCase()}${keyBits === undefined ? "" : `, ${keyBits} bits`}`,
      };
    if (signature !== undefined && WEAK_HASH.test(signature))
      yield { resource: secret, path, title: `\`${key}\` is signed with ${signature}` };
  }
}
