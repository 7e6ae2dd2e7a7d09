import { type KeyObject, X509Certificate } from "node:crypto";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { spkiOf } from "./key-algorithm.ts";
import { type PeerCertificate, peerFromCertificateDer } from "./peer-certificate.ts";
import { decodePem } from "./pem.ts";

/** What a CA answers to a certificate request. */
export interface CertificateGrant {
  /** The leaf first, then every intermediate up to, not including, a root. */
  readonly chainPem: string;
  /** Every root to trust from now on. */
  readonly trustBundlePem: string;
  /** For people: what counts is what stands in the certificate. */
  readonly notBefore?: Date | string;
  readonly notAfter?: Date | string;
}

export interface GrantExpectation {
  readonly identity: SpiffeId;
  readonly privateKey: KeyObject;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

const MAX_CHAIN = 8;

/**
 * Checks that a granted certificate is for this key and this identity, valid now, and that its chain ends in the
 * bundle that came with it; what a proxy could not use must not replace what it has.
 * @returns the leaf.
 * @throws {BulwarkError} BW_SVID_GRANT_REFUSED
 */
export function verifyGrant(grant: CertificateGrant, expected: GrantExpectation): PeerCertificate {
  const chain = decodePem("CERTIFICATE", grant.chainPem);
  const leafDer = chain[0];
  if (leafDer === undefined || chain.length > MAX_CHAIN) refuse(`its chain has ${chain.length} certificates`);
  const leaf = peerFromCertificateDer(leafDer);
  if ("error" in leaf) refuse(`its certificate cannot be read: ${leaf.error}`);
  if (leaf.spiffeId !== expected.identity) refuse("it is for another identity");
  const certificates = chain.map(readWithOpenssl);
  const roots = decodePem("CERTIFICATE", grant.trustBundlePem).map(readWithOpenssl);
  if (
    !certificates[0]?.publicKey.export({ type: "spki", format: "der" }).equals(spkiOf(expected.privateKey))
  ) {
    refuse("it is for another key");
  }
  if (!certificates.every((certificate) => isValidAt(certificate, expected.nowMs)))
    refuse("it is not valid now");
  if (
    !chainsTo(
      certificates,
      roots.filter((root) => isValidAt(root, expected.nowMs)),
    )
  ) {
    refuse("its chain does not end in the trust bundle");
  }
  return leaf;
}

function chainsTo(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): boolean {
  return chain.every((certificate, i) => {
    const parent = chain[i + 1];
    return parent === undefined
      ? roots.some((root) => isIssuedBy(certificate, root))
      : isIssuedBy(certificate, parent);
  });
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  return certificate.validFromDate.getTime() <= nowMs && nowMs < certificate.validToDate.getTime();
}

function readWithOpenssl(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    refuse("one of its certificates cannot be read");
  }
}

function refuse(why: string): never {
  throw new BulwarkError("BW_SVID_GRANT_REFUSED", `the certificate that the CA granted is refused: ${why}`, {
    detail: { why },
  });
}
