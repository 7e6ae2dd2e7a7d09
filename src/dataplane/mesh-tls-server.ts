import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import {
  certificateFromSession,
  type PeerCertificate,
  peerFromCertificateDer,
  verifyPeerIdentity,
} from "../identity/peer-certificate.ts";
import type { FlowTls } from "../model/flow-record.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";
import { CIPHERS, GROUPS, SERVER_ALPN } from "./tls-contexts.ts";

/** A handshake that ended well. */
export interface MeshPeer {
  readonly socket: TLSSocket;
  readonly certificate: PeerCertificate;
  /** Without `spiffe://`. */
  readonly principal: string;
  readonly sni: string;
  /** Chosen; undefined when the client offered none. */
  readonly alpn: string | undefined;
  readonly tls: FlowTls;
}

/** Why a handshake failed, for the record; `certificate` where the peer showed one that was refused. */
export interface HandshakeFailure {
  readonly code: string;
  readonly message: string;
  readonly certificate?: PeerCertificate;
}

export type HandshakeDone = (outcome: MeshPeer | HandshakeFailure) => void;

/**
 * The server's side of the mesh's mutual TLS, for connections that somebody else accepted. TLS 1.3 only, a client
 * certificate of the mesh required, its identity checked again on every handshake, resumed ones included.
 */
export class MeshTlsServer {
  readonly #env: ProxyEnvironment;
  readonly #server: Server;
  /** INVARIANT: an entry lives from `accept` to the handshake's end or the socket's close. */
  readonly #waiting = new WeakMap<Socket, HandshakeDone>();

  constructor(env: ProxyEnvironment) {
    this.#env = env;
    this.#server = createServer({
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [...SERVER_ALPN],
      handshakeTimeout: env.http.limits.handshakeTimeoutMs,
      allowHalfOpen: true,
      minVersion: "TLSv1.3",
      ciphers: CIPHERS,
      ecdhCurve: GROUPS,
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => this.#failed(error, socket));
    this.rotate();
  }

  /** Takes the certificate and trust bundle now in force, for handshakes from now on. */
  rotate(): void {
    const contexts = this.#env.tls();
    if (contexts !== undefined) this.#server.setSecureContext(contexts.options);
  }

  /** @param socket whose next byte is a ClientHello's first. `done` is called at most once. */
  accept(socket: Socket, done: HandshakeDone): void {
    if (this.#env.tls() === undefined) {
      done({ code: "no-certificate", message: "this proxy has no valid certificate at present" });
      socket.destroy();
      return;
    }
    this.#waiting.set(socket, done);
    this.#env.sockets.delete(socket);
    socket.on("error", ignore);
    socket.once("close", () => setImmediate(() => this.#settle(socket, GONE)));
    this.#server.emit("connection", socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", ignore);
    this.#env.sockets.add(socket);
    socket.once("close", () => this.#env.sockets.delete(socket));
    const outcome = this.#check(socket);
    const raw = rawSocket(socket);
    this.#settle(raw, outcome);
    if ("code" in outcome) socket.destroy();
  }

  #check(socket: TLSSocket): MeshPeer | HandshakeFailure {
    const der = peerDer(socket);
    const certificate =
      der === undefined ? { error: "the client showed no certificate" } : peerFromCertificateDer(der);
    if ("error" in certificate) return { code: "BW_PEER_BAD_CERTIFICATE", message: certificate.error };
    const verified = verifyPeerIdentity(certificate, { ...this.#env.trustDomains(), nowMs: Date.now() });
    if (!verified.ok) return { code: verified.code, message: verified.reason, certificate };
    const alpn = socket.alpnProtocol;
    return {
      socket,
      certificate,
      principal: verified.peer.id.slice("spiffe://".length),
      sni: socketSni(socket),
      alpn: typeof alpn === "string" ? alpn : undefined,
      tls: describe(socket, certificate),
    };
  }

  #failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const reason = socket.authorizationError as unknown;
    const code =
      typeof reason === "string"
        ? reason
        : reason instanceof Error
          ? reason.message
          : (error.code ?? "handshake-failed");
    const der = peerDer(socket);
    const certificate = der === undefined ? undefined : peerFromCertificateDer(der);
    const message = error.message.split("\n", 1)[0] ?? "";
    this.#settle(rawSocket(socket), {
      code,
      message: message.replace(/^[0-9A-F]+:error:/, ""),
      ...(certificate === undefined || "error" in certificate ? {} : { certificate }),
    });
    socket.destroy();
  }

  #settle(socket: Socket, outcome: MeshPeer | HandshakeFailure): void {
    const done = this.#waiting.get(socket);
    this.#waiting.delete(socket);
    done?.(outcome);
  }
}

const GONE: HandshakeFailure = { code: "closed", message: "the client closed during the handshake" };

function ignore(): void {}

/**
 * The socket under a TLS socket. Node has no public way from one to the other; the property has been there since 0.11, and
 * mesh-tls-server.test.ts fails if it goes.
 */
function rawSocket(socket: TLSSocket): Socket {
  return (socket as unknown as { _parent?: Socket })._parent ?? socket;
}

/** By the session's own copy of the certificate, at a sixth of the cost; by the X.509 object where that fails. */
function peerDer(socket: TLSSocket): Buffer | undefined {
  if (socket.destroyed) return undefined;
  const session = socket.getSession();
  const fast = session === undefined ? undefined : certificateFromSession(session);
  return fast ?? socket.getPeerX509Certificate()?.raw;
}

function socketSni(socket: TLSSocket): string {
  const { servername } = socket as unknown as { servername?: string | false };
  return typeof servername === "string" ? servername : "";
}

function describe(socket: TLSSocket, certificate: PeerCertificate): FlowTls {
  return {
    version: socket.getProtocol() ?? undefined,
    cipher: socket.getCipher().standardName,
    peerSerial: certificate.serial.toUpperCase(),
    resumed: socket.isSessionReused(),
  };
}
