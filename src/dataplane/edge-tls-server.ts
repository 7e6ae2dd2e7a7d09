import { constants } from "node:crypto";
import type { Socket } from "node:net";
import type { SecureVersion, TLSSocket, TlsOptions } from "node:tls";
import type { PeerCertificate } from "../identity/peer-certificate.ts";
import { TLS_PROFILE, type TlsProfile, tlsProfileOf } from "../identity/tls-profile.ts";
import type { Semantics } from "../policy/inbound.ts";
import type { GatewayServer, GatewayTls } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { asksClients, type ServerCredentials } from "./gateway-credentials.ts";
import { OcspStaples } from "./ocsp-staples.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import {
  agreedNames,
  describeTls,
  type HandshakeFailure,
  type SecuredPeer,
  shownCertificate,
  TlsAcceptor,
} from "./tls-acceptor.ts";

const HTTP_ALPN = ["h2", "http/1.1"];

/** TLS of one server of a gateway towards clients outside of the mesh, under the server's own certificates. */
export class EdgeTlsServer {
  readonly #env: ProxyEnvironment;
  readonly #tls: GatewayTls;
  readonly #semantics: Semantics;
  readonly #acceptor: TlsAcceptor<SecuredPeer>;

  /** @throws {BulwarkError} BW_GATEWAY_TLS: no version or suite of TLS is left. */
  constructor(
    env: ProxyEnvironment,
    server: GatewayServer & { readonly tls: GatewayTls },
    credentials: ServerCredentials,
    semantics: Semantics,
  ) {
    this.#env = env;
    this.#tls = server.tls;
    this.#semantics = semantics;
    try {
      this.#acceptor = new TlsAcceptor(env, optionsOf(server, credentials), (socket) => this.#check(socket));
      const staples = new OcspStaples(credentials.pairs);
      if (!staples.isEmpty) this.#acceptor.staple((certificate) => staples.of(certificate, Date.now()));
    } catch (cause) {
      if (cause instanceof BulwarkError) throw cause;
      throw new BulwarkError("BW_GATEWAY_TLS", "its TLS settings cannot be put into force", { cause });
    }
  }

  accept(socket: Socket, done: (outcome: SecuredPeer | HandshakeFailure) => void): void {
    this.#acceptor.accept(socket, done);
  }

  #check(socket: TLSSocket): SecuredPeer | HandshakeFailure {
    const shown = asksClients(this.#tls) ? shownCertificate(socket) : undefined;
    if (shown === undefined) return secured(socket, undefined);
    if ("error" in shown) return { code: "BW_PEER_BAD_CERTIFICATE", message: shown.error };
    const refusal = this.#refuse(socket, shown) ?? this.#revoked(shown);
    if (refusal === undefined) this.#env.revocations.track(socket, "inbound", shown, undefined);
    return refusal ?? secured(socket, shown);
  }

  #refuse(socket: TLSSocket, certificate: PeerCertificate): HandshakeFailure | undefined {
    if (!socket.authorized) {
      const code = String(socket.authorizationError ?? "unverified");
      return { code, message: "the client's certificate is not of the server's roots", certificate };
    }
    if (certificate.uris.length > 1)
      return {
        code: "BW_PEER_AMBIGUOUS",
        message: "the client's certificate has several URI names: no policy can tell which one it is",
        certificate,
      };
    if (!isExpected(this.#tls, certificate))
      return {
        code: "BW_PEER_UNEXPECTED",
        message: "the client's certificate is none of those that the server's TLS settings name",
        certificate,
      };
    if (this.#semantics === "strict" && this.#claimsFalsely(socket, certificate))
      return {
        code: "BW_PEER_FOREIGN_AUTHORITY",
        message:
          "the client's certificate names an identity of this mesh, or of one that it is federated with, but that mesh's CA did not issue it",
        certificate,
      };
    return undefined;
  }

  /** Of the mesh's own certificates; other authorities' revocations are the server's own list (`caCrl`). */
  #revoked(certificate: PeerCertificate): HandshakeFailure | undefined {
    if (!this.#env.revocations.isRevoked(certificate)) return undefined;
    return { code: "BW_PEER_REVOKED", message: "the client's certificate was revoked", certificate };
  }

  /** Whether it names an identity of a trust domain that has roots here, and is not of those roots. Names are looked at without their case: policies might be. */
  #claimsFalsely(socket: TLSSocket, { uris }: PeerCertificate): boolean {
    const { trustDomain, aliases, federated } = this.#env.trustDomains();
    const claimed = [trustDomain, ...aliases, ...federated].find((domain) =>
      uris.some((uri) => `${uri.toLowerCase()}/`.startsWith(`spiffe://${domain}/`)),
    );
    if (claimed === undefined) return false;
    const problem = this.#env
      .tls()
      ?.trust.problem(socket.getPeerCertificate(true), claimed, "client", Date.now());
    return this.#env.tls() === undefined || problem !== undefined;
  }
}

function secured(socket: TLSSocket, certificate: PeerCertificate | undefined): SecuredPeer {
  return {
    socket,
    certificate,
    principal: certificate === undefined ? null : principalOf(socket, certificate),
    ...agreedNames(socket),
    tls: describeTls(socket, certificate),
  };
}

/** The name that Envoy would judge by: the URI, else the DNS name, else the subject. */
function principalOf(socket: TLSSocket, { uris, dnsNames }: PeerCertificate): string {
  const [uri] = uris;
  if (uri !== undefined) return uri.startsWith("spiffe://") ? uri.slice("spiffe://".length) : `dns:${uri}`;
  return `dns:${dnsNames[0] ?? subjectOf(socket)}`;
}

/** As RFC 4514 writes it: the most specific part first. */
export function subjectOf(socket: TLSSocket): string {
  const lines = socket.getPeerX509Certificate()?.subject?.split("\n") ?? [];
  return lines.reverse().join(",");
}

/** Names, keys and certificates are each a list of which one must fit; a key or a certificate that fits is enough of the two. */
function isExpected(tls: GatewayTls, { uris, dnsNames, sha256, keySha256 }: PeerCertificate): boolean {
  const { subjectAltNames, verifyCertificateSpki, verifyCertificateHash } = tls;
  const named =
    subjectAltNames.length === 0 ||
    subjectAltNames.some((name) => uris.includes(name) || dnsNames.includes(name));
  if (verifyCertificateSpki.length + verifyCertificateHash.length === 0) return named;
  const key = Buffer.from(keySha256, "hex").toString("base64");
  const pinned =
    verifyCertificateSpki.includes(key) ||
    verifyCertificateHash.some((hash) => hash.replaceAll(":", "").toLowerCase() === sha256);
  return named && pinned;
}

function optionsOf(
  { protocol, tls }: GatewayServer & { readonly tls: GatewayTls },
  { pairs, clientRoots, revocations }: ServerCredentials,
): TlsOptions {
  const asks = clientRoots !== undefined;
  return {
    ...limitsOf(tls, TLS_PROFILE),
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key }) => key),
    honorCipherOrder: true,
    ...(protocol === "https" ? { ALPNProtocols: HTTP_ALPN } : {}),
    requestCert: asks,
    rejectUnauthorized: tls.mode === "MUTUAL",
    ...(asks ? { ca: clientRoots } : {}),
    ...(revocations === undefined ? {} : { crl: revocations }),
    // Each handshake verifies the client anew: a session from before a change of roots or pins resumes nothing.
    ...(asks ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
  };
}

/**
 * Versions, suites and groups of a server; a compliance policy stands above what it asks for itself.
 * @throws {BulwarkError} BW_GATEWAY_TLS: no version is left.
 */
export function limitsOf(tls: GatewayTls, { mesh, outside, overridesGateways }: TlsProfile): TlsOptions {
  const versions = versionsOf(tls);
  if (overridesGateways) return outside;
  const named = tls.cipherSuites.filter((suite) => /^[A-Z0-9-]+$/.test(suite) && suite !== "ALL");
  const ciphers = named.length === 0 ? outside.ciphers : [mesh.ciphers, ...named].join(":");
  return { ...outside, ...versions, ciphers };
}

const VERSIONS: Readonly<Record<string, SecureVersion>> = { TLSV1_2: "TLSv1.2", TLSV1_3: "TLSv1.3" };
const UNRESTRICTED = tlsProfileOf("").outside;

/** TLS 1.2 is the least, as Istio's default is; where an older one is asked for it still is. */
function versionsOf({ minProtocolVersion = "", maxProtocolVersion = "" }: GatewayTls): TlsOptions {
  if (maxProtocolVersion === "TLSV1_0" || maxProtocolVersion === "TLSV1_1")
    throw new BulwarkError("BW_GATEWAY_TLS", "it wants no TLS above 1.1, and none below 1.2 is served");
  const minVersion = VERSIONS[minProtocolVersion] ?? UNRESTRICTED.minVersion;
  const maxVersion = VERSIONS[maxProtocolVersion] ?? UNRESTRICTED.maxVersion;
  if (minVersion === "TLSv1.3" && maxVersion === "TLSv1.2")
    throw new BulwarkError("BW_GATEWAY_TLS", "its least version of TLS is above its greatest");
  return { minVersion, maxVersion };
}
