/**
 * Certificates that are wrong in one respect, and one that is right in all. Those of the mesh's own CA are signed with its real
 * key: they are what a CA that was tricked would have signed, and only the proxy's own checks stand before them.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { spkiOf } from "../identity/key-algorithm.ts";
import { encodePem } from "../identity/pem.ts";
import { type Signer, signCertificate, signerFrom } from "../identity/sign.ts";
import {
  type CertificateProfile,
  type CertificateTemplate,
  EMPTY_NAME,
  encodeName,
  keyIdentifier,
  serialFrom,
} from "../identity/template.ts";
import type { Credentials } from "./mesh-under-attack.ts";
import { serialOf } from "./stolen-identity.ts";

export interface SpecimenRequest {
  readonly uris: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly profile?: CertificateProfile;
  /** Seconds from now; default −60 and 3600. */
  readonly startsInSeconds?: number;
  readonly endsInSeconds?: number;
}

/** A certificate of this CA. */
export function specimen(signer: Signer, request: SpecimenRequest): Credentials {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = signCertificate(template(signer, spkiOf(privateKey), request), signer.privateKey);
  return credentials(privateKey, [certificate, signer.certificate], request);
}

/** Signed with its own key. */
export function selfSigned(request: SpecimenRequest): Credentials {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = spkiOf(privateKey);
  const own = { subject: EMPTY_NAME, subjectKeyId: keyIdentifier(spki) };
  return credentials(privateKey, [signCertificate(template(own, spki, request), privateKey)], request);
}

/** A CA of the attacker's own, with the name of the mesh's. */
export function foreignSigner(like: Signer): Signer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = spkiOf(privateKey);
  const own = { subject: like.subject, subjectKeyId: keyIdentifier(spki) };
  const uris = ["spiffe://cluster.local"];
  const root = template(own, spki, { uris, profile: "root" });
  return signerFrom(signCertificate({ ...root, subject: like.subject }, privateKey), privateKey);
}

/** A certificate that a workload's own certificate signed: only basicConstraints forbids it. */
export function signedByWorkload(workload: Credentials, request: SpecimenRequest): Credentials {
  const issuerKey = createPrivateKey(workload.keyPem);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = { subject: EMPTY_NAME, subjectKeyId: keyIdentifier(spkiOf(issuerKey)) };
  const certificate = signCertificate(template(issuer, spkiOf(privateKey), request), issuerKey);
  const made = credentials(privateKey, [certificate], request);
  return { ...made, chainPem: made.chainPem + workload.chainPem };
}

function template(
  issuer: Pick<Signer, "subject" | "subjectKeyId">,
  spki: Buffer,
  { uris, dnsNames = [], profile = "workload", startsInSeconds = -60, endsInSeconds = 3600 }: SpecimenRequest,
): CertificateTemplate {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const isAuthority = profile === "root" || profile === "intermediate";
  return {
    profile,
    serial: serialFrom(randomBytes(16)),
    issuer: issuer.subject,
    subject: isAuthority ? encodeName("attacker's own") : EMPTY_NAME,
    notBefore: new Date((nowSeconds + startsInSeconds) * 1000),
    notAfter: new Date((nowSeconds + endsInSeconds) * 1000),
    spki,
    uris,
    dnsNames,
    subjectKeyId: keyIdentifier(spki),
    authorityKeyId: issuer.subjectKeyId,
  };
}

function credentials(key: KeyObject, chain: readonly Buffer[], request: SpecimenRequest): Credentials {
  const chainPem = chain.map((certificate) => encodePem("CERTIFICATE", certificate)).join("");
  return {
    spiffeId: request.uris.join(" and "),
    serial: serialOf(chainPem),
    keyPem: key.export({ type: "pkcs8", format: "pem" }).toString(),
    chainPem,
  };
}
