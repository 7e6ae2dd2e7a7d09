import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type PeerCertificate, verifyPeerIdentity } from "../identity/peer-certificate.ts";
import { TLS_PROFILE } from "../identity/tls-profile.ts";
import type { TrustDomain } from "../model/spiffe-id.ts";
import type { TlsEnvironment } from "./proxy-environment.ts";
import {
  agreedNames,
  describeTls,
  type HandshakeFailure,
  rawSocket,
  type SecuredPeer,
  shownCertificate,
  TlsAcceptor,
} from "./tls-acceptor.ts";
import { SERVER_ALPN } from "./tls-contexts.ts";

export type { HandshakeFailure } from "./tls-acceptor.ts";

/** A handshake that ended well. */
export interface MeshPeer extends SecuredPeer {
  readonly certificate: PeerCertificate;
  /** Without `spiffe://`. */
  readonly principal: string;
}

export type HandshakeDone = (outcome: MeshPeer | HandshakeFailure) => void;

/**
 * The server's side of the mesh's mutual TLS, for connections that somebody else accepted. TLS 1.3 only, a client
 * certificate of the mesh required, its identity checked again on every handshake, resumed ones included.
 */
export class MeshTlsServer {
  readonly #env: TlsEnvironment;
  readonly #acceptor: TlsAcceptor<MeshPeer>;
  /** What this proxy shows in each handshake: a rotation in its midst does not change that. */
  readonly #shown = new WeakMap<Socket, PeerCertificate>();

  constructor(env: TlsEnvironment) {
    this.#env = env;
    this.#acceptor = new TlsAcceptor(
      env,
      {
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: [...SERVER_ALPN],
        ...TLS_PROFILE.mesh,
      },
      (socket) => this.#check(socket),
    );
    this.rotate();
  }

  /** Takes the certificate and trust bundle now in force, for handshakes from now on. */
  rotate(): void {
    const contexts = this.#env.tls();
    if (contexts !== undefined) this.#acceptor.setSecureContext(contexts.options);
  }

  /** @param socket whose next byte is a ClientHello's first. `done` is called at most once. */
  accept(socket: Socket, done: HandshakeDone): void {
    const tls = this.#env.tls();
    if (tls === undefined) {
      done({ code: "no-certificate", message: "this proxy has no valid certificate at present" });
      socket.destroy();
      return;
    }
    this.#shown.set(socket, tls.own);
    this.#acceptor.accept(socket, done);
  }

  #check(socket: TLSSocket): MeshPeer | HandshakeFailure {
    const certificate = shownCertificate(socket) ?? { error: "the client showed no certificate" };
    if ("error" in certificate) return { code: "BW_PEER_BAD_CERTIFICATE", message: certificate.error };
    const verified = verifyPeerIdentity(certificate, { ...this.#env.trustDomains(), nowMs: Date.now() });
    if (!verified.ok) return { code: verified.code, message: verified.reason, certificate };
    const foreign = this.#chainProblem(socket, verified.peer.trustDomain);
    if (foreign !== undefined) return { code: "BW_PEER_FOREIGN_AUTHORITY", message: foreign, certificate };
    const { revocations } = this.#env;
    const own = this.#shown.get(rawSocket(socket));
    const refusal = revocations.refusal(certificate, own);
    if (refusal !== undefined) return { ...refusal, certificate };
    revocations.track(socket, "inbound", certificate, own);
    return {
      socket,
      certificate,
      principal: verified.peer.id.slice("spiffe://".length),
      ...agreedNames(socket),
      tls: describeTls(socket, certificate),
    };
  }

  /** Where several domains' roots are known to TLS, each peer is held against those of the domain that it names. */
  #chainProblem(socket: TLSSocket, trustDomain: TrustDomain): string | undefined {
    const trust = this.#env.tls()?.trust;
    if (trust?.isFederated === false) return undefined;
    if (trust === undefined || socket.isSessionReused()) return "its chain cannot be verified any more";
    return trust.problem(socket.getPeerCertificate(true), trustDomain, "client", Date.now());
  }
}
