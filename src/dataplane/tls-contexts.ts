import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { type PeerCertificate, peerFromCertificateDer } from "../identity/peer-certificate.ts";
import { decodePem } from "../identity/pem.ts";
import { type Svid, tlsCredentials } from "../identity/rotation.ts";

/** Mesh TLS is 1.3 only (meshMTLS.minProtocolVersion is honoured upwards; nothing lowers it). */
const PROTOCOL = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;

/** Hybrid post-quantum agreement first, then the classic curves (FIPS 203; draft-ietf-tls-ecdhe-mlkem). */
export const GROUPS = "X25519MLKEM768:X25519:P-256";

export const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/** What our servers choose from. A client that offers only other names is refused; one without ALPN is taken. */
export const SERVER_ALPN: readonly string[] = [
  "istio-h2",
  "istio-http/1.1",
  "istio-http/1.0",
  "istio",
  "h2",
  "http/1.1",
  "http/1.0",
];

export const CLIENT_ALPN = {
  http1: ["istio-http/1.1", "istio", "http/1.1"],
  http2: ["istio-h2", "istio", "h2"],
  tcp: ["istio"],
} as const satisfies Record<string, readonly string[]>;

export type UpstreamAlpn = keyof typeof CLIENT_ALPN;

/** The secure contexts of one certificate. New ones at each rotation and trust change; connections keep theirs. */
export interface TlsContexts {
  readonly svid: Svid;
  /** What peers see: what a revocation names. */
  readonly own: PeerCertificate;
  readonly options: { key: string; cert: string; ca: string; minVersion: "TLSv1.3"; maxVersion: "TLSv1.3" };
  readonly client: SecureContext;
}

/**
 * Makes contexts of a certificate. No ticket keys are given, on purpose: each server context then has keys of its own,
 * and a session from before a rotation or trust change cannot be resumed past the checks that came with it.
 */
export function makeTlsContexts(svid: Svid): TlsContexts {
  const options = { ...tlsCredentials(svid), ...PROTOCOL, ciphers: CIPHERS, ecdhCurve: GROUPS };
  return { svid, own: leafOf(svid), options, client: createSecureContext(options) };
}

function leafOf({ chainPem }: Svid): PeerCertificate {
  const [leaf] = decodePem("CERTIFICATE", chainPem);
  const own = leaf === undefined ? { error: "no certificate" } : peerFromCertificateDer(leaf);
  if ("error" in own)
    throw new Error(`BUG: a verified grant holds a certificate that cannot be read: ${own.error}`);
  return own;
}

/** For servers outside of the mesh: TLS 1.2 at least, the system's roots, and `extraCaPem` besides. */
export function makeExternalContext(extraCaPem: string | undefined): SecureContext {
  const ca = extraCaPem === undefined ? [...rootCertificates] : [...rootCertificates, extraCaPem];
  return createSecureContext({ ca, minVersion: "TLSv1.2" });
}
