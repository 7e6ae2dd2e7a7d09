import { generateKeyPairSync } from "node:crypto";
import { spkiOf } from "../../src/identity/key-algorithm.ts";
import { signCertificate } from "../../src/identity/sign.ts";
import {
  authorityTemplate,
  encodeName,
  keyIdentifier,
  serialFrom,
  validityFrom,
  workloadTemplate,
} from "../../src/identity/template.ts";
import { parseTrustDomain, workloadSpiffeId } from "../../src/model/spiffe-id.ts";

export interface MadeCertificate {
  /** DER. */
  readonly certificate: Buffer;
  readonly authority: Buffer;
  /** PEM. */
  readonly privateKey: string;
}

/** A workload's certificate and its authority's, as the mesh's CA would make them. */
export function makeCertificate(): MadeCertificate {
  const trustDomain = parseTrustDomain("cluster.local");
  if (trustDomain === undefined) throw new Error("BUG: no trust domain");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = spkiOf(privateKey);
  const validity = validityFrom(Date.now(), 86_400);
  const serial = serialFrom(Buffer.alloc(16, 7));
  const authority = authorityTemplate({ trustDomain, spki, validity, serial });
  const issuer = { subject: encodeName("a"), subjectKeyId: keyIdentifier(spki), notAfter: validity.notAfter };
  const identity = workloadSpiffeId(trustDomain, "finance", "payroll");
  const workload = workloadTemplate({ identity, spki, validity, serial, issuer });
  return {
    certificate: signCertificate(workload, privateKey),
    authority: signCertificate(authority, privateKey),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
