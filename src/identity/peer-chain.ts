import { X509Certificate } from "node:crypto";
import {
  type CertificateFields,
  readBasicConstraints,
  readCertificate,
  readExtendedKeyUsage,
  readKeyUsage,
  readSubjectAltNames,
} from "./certificate-der.ts";
import { DerError } from "./der-reader.ts";
import { breaksNameConstraints, NAME_CONSTRAINTS } from "./name-constraints.ts";
import { OID } from "./object-ids.ts";

/** Roots of one trust domain, read once: each handshake is held against them. */
export type TrustAnchors = readonly X509Certificate[];

const MAX_CHAIN = 8;
const KEY_CERT_SIGN = 0x04;
const ANY_PURPOSE = "551d2500";
/** Extensions whose meaning is acted on here, or was by TLS for the leaf; a critical one besides refuses the chain (RFC 5280 §4.2). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.subjectAltName,
  NAME_CONSTRAINTS,
]);

/**
 * Why a peer's chain does not end in one of these anchors; undefined where it does. Never throws.
 *
 * TLS verifies a chain against all roots that a server knows, whichever identity they may sign for; this asks again, with the roots of the
 * one trust domain that the leaf names (SPIFFE Trust Domain and Bundle specification §6.2). So it follows signatures, not names: who owns a root of another
 * domain can give its intermediate any name and key identifier.
 *
 * @param chain the leaf, then what the peer sent besides, in the order in which each signs the one before; roots in it count for nothing.
 * @param nowMs milliseconds since the epoch.
 * @see RFC 5280 §6.1: signatures, dates, basic constraints, path length, key usage, extended key usage, name constraints
 */
export function chainProblem(
  chain: readonly Buffer[],
  anchors: TrustAnchors,
  purpose: "client" | "server",
  nowMs: number,
): string | undefined {
  try {
    return walk(chain, anchors, purpose === "client" ? OID.clientAuth : OID.serverAuth, nowMs);
  } catch (error) {
    // Node's X509Certificate throws OpenSSL's errors, which may quote what they read.
    return error instanceof DerError ? error.message : "a certificate of its chain cannot be read";
  }
}

function walk(
  chain: readonly Buffer[],
  anchors: TrustAnchors,
  purpose: string,
  nowMs: number,
): string | undefined {
  const [leafDer] = chain;
  if (leafDer === undefined || chain.length > MAX_CHAIN) return `its chain has ${chain.length} certificates`;
  const names = readSubjectAltNames(readCertificate(leafDer));
  let current = new X509Certificate(leafDer);
  for (let depth = 0; ; depth++) {
    if (!isValidAt(current, nowMs)) return "a certificate of its chain is not valid now";
    const anchor = anchors.find((candidate) => isIssuedBy(current, candidate));
    const nextDer = chain[depth + 1];
    const issuer = anchor ?? (nextDer === undefined ? undefined : new X509Certificate(nextDer));
    if (issuer === undefined || (anchor === undefined && !isIssuedBy(current, issuer)))
      return "its chain does not end in the roots of its trust domain";
    const problem = issuerProblem(readCertificate(issuer.raw), depth, purpose, names);
    if (problem !== undefined) return problem;
    if (anchor !== undefined)
      return isValidAt(anchor, nowMs) ? undefined : "the root of its chain is not valid now";
    current = issuer;
  }
}

/** @param below how many certificates stand between it and the leaf. */
function issuerProblem(
  fields: CertificateFields,
  below: number,
  purpose: string,
  names: ReturnType<typeof readSubjectAltNames>,
): string | undefined {
  const { ca, pathLength } = readBasicConstraints(fields);
  const usage = readKeyUsage(fields);
  const purposes = readExtendedKeyUsage(fields);
  if (!ca || (usage !== undefined && (usage & KEY_CERT_SIGN) === 0))
    return "a certificate of its chain signs without the right to";
  if (pathLength !== undefined && below > pathLength)
    return "its chain is longer than one of its authorities allows";
  if (purposes !== undefined && !purposes.includes(purpose) && !purposes.includes(ANY_PURPOSE))
    return "an authority of its chain is for other purposes";
  for (const [oid, { critical }] of fields.extensions)
    if (critical && !UNDERSTOOD.has(oid))
      return "an authority of its chain has a critical extension that is not understood";
  return breaksNameConstraints(fields, names)
    ? "an authority of its chain may not sign for its name"
    : undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  return certificate.validFromDate.getTime() <= nowMs && nowMs < certificate.validToDate.getTime();
}

/** What `tls.TLSSocket.getPeerCertificate(true)` gives, as far as it is looked at. */
export interface LinkedCertificate {
  readonly raw?: Buffer;
  readonly issuerCertificate?: LinkedCertificate;
}

/** The certificates of a peer, each with the one that claims to have signed it behind it. Bounded, also where links go round. */
export function linkedChain(certificate: LinkedCertificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  let link: LinkedCertificate | undefined = certificate;
  while (link?.raw !== undefined && chain.length <= MAX_CHAIN) {
    chain.push(link.raw);
    link = link.issuerCertificate === link ? undefined : link.issuerCertificate;
  }
  return chain;
}
