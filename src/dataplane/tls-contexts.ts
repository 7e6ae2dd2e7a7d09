import { constants } from "node:crypto";
import { createSecureContext, rootCertificates, type SecureContext, type TlsOptions } from "node:tls";
import { type PeerCertificate, peerFromCertificateDer } from "../identity/peer-certificate.ts";
import { decodePem } from "../identity/pem.ts";
import { type Svid, tlsCredentials } from "../identity/rotation.ts";
import { TLS_PROFILE } from "../identity/tls-profile.ts";
import { type FederatedDomain, FederatedTrust } from "./federated-trust.ts";

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
  hbone: ["h2"],
} as const satisfies Record<string, readonly string[]>;

export type UpstreamAlpn = keyof typeof CLIENT_ALPN;

/** The secure contexts of one certificate. New ones at each rotation and trust change; connections keep theirs. */
export interface TlsContexts {
  readonly svid: Svid;
  /** What peers see: what a revocation names. */
  readonly own: PeerCertificate;
  readonly options: TlsOptions & { key: string; cert: string; ca: string };
  readonly trust: FederatedTrust;
  /** For connections to a server that must be of one of the domains of these roots (`FederatedTrust.rootsFor`). */
  client(rootsPem: string): SecureContext;
}

/**
 * Makes contexts of a certificate. No ticket keys are given, on purpose: each server context then has keys of its own,
 * and a session from before a rotation or trust change cannot be resumed past the checks that came with it.
 */
export function makeTlsContexts(svid: Svid, domains: readonly FederatedDomain[] = []): TlsContexts {
  const options = { ...tlsCredentials(svid), ...TLS_PROFILE.mesh };
  const trust = new FederatedTrust(svid.trustBundlePem, domains);
  const clients = new Map([[svid.trustBundlePem, createSecureContext(options)]]);
  return {
    svid,
    own: leafOf(svid),
    options: trust.isFederated ? { ...options, ca: trust.allRootsPem, ...NO_RESUMPTION } : options,
    trust,
    client(rootsPem) {
      // Not the empty text: for that Node takes the system's roots.
      const ca = rootsPem === "" ? [] : rootsPem;
      const known = clients.get(rootsPem) ?? createSecureContext({ ...options, ca });
      clients.set(rootsPem, known);
      return known;
    },
  };
}

/** A session that is resumed has the peer's certificate, but no chain that could be held against its domain's roots. */
const NO_RESUMPTION = { secureOptions: constants.SSL_OP_NO_TICKET };

function leafOf({ chainPem }: Svid): PeerCertificate {
  const [leaf] = decodePem("CERTIFICATE", chainPem);
  const own = leaf === undefined ? { error: "no certificate" } : peerFromCertificateDer(leaf);
  if ("error" in own)
    throw new Error(`BUG: a verified grant holds a certificate that cannot be read: ${own.error}`);
  return own;
}

/** For servers outside of the mesh: the system's roots, and `extraCaPem` besides. */
export function makeExternalContext(extraCaPem: string | undefined): SecureContext {
  const ca = extraCaPem === undefined ? [...rootCertificates] : [...rootCertificates, extraCaPem];
  return createSecureContext({ ca, ...TLS_PROFILE.outside });
}
