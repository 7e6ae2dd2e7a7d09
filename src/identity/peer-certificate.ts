import { hash } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { type ParsedSpiffeId, parseSpiffeId, type SpiffeId, type TrustDomain } from "../model/spiffe-id.ts";
import type { BulwarkErrorCode } from "../resources/bulwark-error.ts";
import {
  type CertificateFields,
  readAuthorityKeyId,
  readBasicConstraints,
  readCertificate,
  readKeyUsage,
  readSubjectAltNames,
} from "./certificate-der.ts";
import { contextTag, DerError, DerReader, TAG } from "./der-reader.ts";

/** What a peer's certificate says. That its chain is trusted is for TLS to have checked before. */
export interface PeerCertificate {
  /** The workload's identity; undefined when the certificate is no X.509-SVID of a workload. */
  readonly spiffeId: SpiffeId | undefined;
  /** The same identity taken apart. */
  readonly identity: ParsedSpiffeId | undefined;
  /** Every URI and DNS name, in order. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Lower-case hexadecimal, no leading zero byte. */
  readonly serial: string;
  /** The issuer's key in hexadecimal: with the serial, what a revocation names. */
  readonly authorityKeyId: string | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 of the whole certificate and of its SubjectPublicKeyInfo, lower-case hexadecimal. */
  readonly sha256: string;
  readonly keySha256: string;
}

/** Why bytes are no certificate; `error` never quotes them. */
export interface PeerCertificateProblem {
  readonly error: string;
}

/** Bounds the memory that peers can make a proxy keep: an entry is a few hundred bytes. */
const CACHE_ENTRIES = 4096;
const cache = new Map<string, PeerCertificate>();

/**
 * Reads the certificate of a peer whose chain TLS has verified. Never throws. A certificate has an identity only
 * when it is one and no other: exactly one URI name, that a workload's SPIFFE ID, and no right to sign.
 * The last 4096 certificates are remembered by their hash, so that reconnecting peers cost one hash.
 * @see X.509-SVID specification §2, §5.2
 */
export function peerFromCertificateDer(der: Buffer): PeerCertificate | PeerCertificateProblem {
  const sha256 = hash("sha256", der, "hex");
  const known = cache.get(sha256);
  if (known !== undefined) {
    // Re-inserted to stand last: a Map keeps insertion order, so its first entry is the least recently used.
    cache.delete(sha256);
    cache.set(sha256, known);
    return known;
  }
  const peer = readPeer(der, sha256);
  if (!("error" in peer)) remember(peer);
  return peer;
}

function remember(peer: PeerCertificate): void {
  const oldest = cache.size >= CACHE_ENTRIES ? cache.keys().next().value : undefined;
  if (oldest !== undefined) cache.delete(oldest);
  cache.set(peer.sha256, peer);
}

function readPeer(der: Buffer, sha256: string): PeerCertificate | PeerCertificateProblem {
  try {
    const fields = readCertificate(der);
    const { uris, dnsNames } = readSubjectAltNames(fields);
    const identity = maySign(fields) ? undefined : workloadIdentity(uris);
    return {
      spiffeId: identity?.id,
      identity,
      uris,
      dnsNames,
      serial: fields.serial,
      authorityKeyId: readAuthorityKeyId(fields),
      notBefore: fields.notBefore,
      notAfter: fields.notAfter,
      sha256,
      keySha256: hash("sha256", fields.spki, "hex"),
    };
  } catch (error) {
    if (error instanceof DerError) return { error: error.message };
    throw error;
  }
}

/** A signing certificate is no workload, even if it is used to speak TLS (X.509-SVID specification §5.2). */
function maySign(fields: CertificateFields): boolean {
  return readBasicConstraints(fields).ca || ((readKeyUsage(fields) ?? 0) & 0x06) !== 0;
}

function workloadIdentity(uris: readonly string[]): ParsedSpiffeId | undefined {
  const [only, ...others] = uris;
  if (only === undefined || others.length > 0) return undefined;
  const parsed = parseSpiffeId(only);
  return parsed === undefined || parsed.path === "" ? undefined : parsed;
}

/**
 * The peer's certificate out of `tlsSocket.getSession()`, in a fifth of the time of `getPeerX509Certificate()`.
 * OpenSSL's serialised session is a SEQUENCE: five plain elements (versions, cipher, session id, master key), then
 * optional ones tagged in rising order, of which `[3]` is the certificate. Undefined when there is none, or when
 * the bytes are anything else. Never throws.
 *
 * On a client, Node (from 26.10) puts a header in front that binds the session to the server's name.
 *
 * The result is a copy, since the session holds the connection's master key: let go of the session.
 * @see OpenSSL, ssl/ssl_asn1.c, SSL_SESSION_ASN1
 */
export function certificateFromSession(session: Buffer): Buffer | undefined {
  try {
    const file = new DerReader(session, sessionStart(session));
    const fields = file.within(TAG.sequence);
    file.finish();
    for (const tag of SESSION_PREFIX) fields.element(tag);
    while (!fields.done && fields.nextTag < contextTag(3)) fields.element();
    if (fields.nextTag !== contextTag(3)) return undefined;
    const explicit = fields.within(contextTag(3));
    const certificate = explicit.whole(TAG.sequence);
    explicit.finish();
    return Buffer.from(certificate);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** Node, lib/internal/tls/wrap.js: this prefix, two bytes of length, the server's name, then OpenSSL's session. */
const NODE_CLIENT_PREFIX = Buffer.from("\0nodejs:tls:session:1\0", "latin1");

function sessionStart(session: Buffer): number {
  const lengthAt = NODE_CLIENT_PREFIX.length;
  const wrapped = session.length >= lengthAt + 2 && session.subarray(0, lengthAt).equals(NODE_CLIENT_PREFIX);
  return wrapped ? lengthAt + 2 + session.readUInt16BE(lengthAt) : 0;
}

const SESSION_PREFIX = [TAG.integer, TAG.integer, TAG.octetString, TAG.octetString, TAG.octetString] as const;

/** The two ways to a peer's certificate that a TLS socket has. */
export type CertificateSocket = Pick<TLSSocket, "getSession" | "getPeerX509Certificate">;

/**
 * The certificate that the other end of a connection showed, in DER: from the session, or, should the session's
 * form be another in some version of Node or OpenSSL, the slow way. Undefined when the peer showed none.
 */
export function peerCertificateDer(socket: CertificateSocket): Buffer | undefined {
  const session = socket.getSession();
  const certificate = session === undefined || session === null ? undefined : certificateFromSession(session);
  return certificate ?? socket.getPeerX509Certificate()?.raw;
}

declare const verified: unique symbol;

/** An identity that {@link verifyPeerIdentity} let pass. */
export interface VerifiedPeer extends ParsedSpiffeId {
  readonly certificate: PeerCertificate;
  readonly [verified]: true;
}

export interface PeerIdentityPolicy {
  readonly trustDomain: TrustDomain;
  /** Other names of the same mesh (meshConfig.trustDomainAliases): peers of these are its own too. */
  readonly aliases: readonly TrustDomain[];
  /** Others' trust domains whose workloads are taken, each verified against its own roots (see `chainProblem`). */
  readonly federated?: readonly TrustDomain[];
  /** Milliseconds since the epoch: a resumed TLS session has not looked at the certificate's dates again. */
  readonly nowMs: number;
}

export type PeerIdentityResult =
  | { readonly ok: true; readonly peer: VerifiedPeer }
  | { readonly ok: false; readonly code: BulwarkErrorCode; readonly reason: string };

/**
 * Whether a peer is a workload of this mesh, or of one that it is federated with, now. The chain must have been verified by TLS.
 * Codes: BW_PEER_NO_IDENTITY, BW_PEER_EXPIRED, BW_PEER_NOT_YET_VALID, BW_PEER_FOREIGN_TRUST_DOMAIN.
 */
export function verifyPeerIdentity(
  certificate: PeerCertificate,
  policy: PeerIdentityPolicy,
): PeerIdentityResult {
  const { identity, notBefore, notAfter } = certificate;
  if (identity === undefined) {
    return refusal("BW_PEER_NO_IDENTITY", "the peer's certificate holds no single SPIFFE ID of a workload");
  }
  // As OpenSSL counts: the certificate has ended in the second that it names.
  if (policy.nowMs >= notAfter.getTime())
    return refusal("BW_PEER_EXPIRED", "the peer's certificate has expired");
  if (policy.nowMs < notBefore.getTime()) {
    return refusal("BW_PEER_NOT_YET_VALID", "the peer's certificate is not valid yet");
  }
  const { trustDomain } = identity;
  const isOwn = trustDomain === policy.trustDomain || policy.aliases.includes(trustDomain);
  if (!isOwn && policy.federated?.includes(trustDomain) !== true) {
    const reason = `the peer is of trust domain ${identity.trustDomain}, not of ${policy.trustDomain} or its aliases`;
    return refusal("BW_PEER_FOREIGN_TRUST_DOMAIN", reason);
  }
  return { ok: true, peer: { ...identity, certificate } as VerifiedPeer };
}

function refusal(code: BulwarkErrorCode, reason: string): PeerIdentityResult {
  return { ok: false, code, reason };
}

/**
 * Secure naming: whether a server's certificate is one of those that may run the service. A SPIFFE ID counts only
 * as the certificate's one identity; other names must equal one of its URI or DNS names exactly, byte for byte.
 * Nothing expected matches nothing: who wants no check has to not ask.
 */
export function matchesExpectedSans(peer: PeerCertificate, expected: readonly string[]): boolean {
  return expected.some((name) => {
    if (name.startsWith("spiffe://")) return peer.spiffeId === name;
    return peer.uris.includes(name) || peer.dnsNames.includes(name);
  });
}
