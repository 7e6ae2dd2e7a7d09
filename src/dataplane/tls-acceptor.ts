import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import {
  certificateFromSession,
  type PeerCertificate,
  peerFromCertificateDer,
} from "../identity/peer-certificate.ts";
import type { FlowTls } from "../model/flow-record.ts";
import type { TlsEnvironment } from "./proxy-environment.ts";

/** A client whose TLS ended here, with what it proved. */
export interface SecuredPeer {
  readonly socket: TLSSocket;
  /** Undefined where none was asked for, or shown. */
  readonly certificate: PeerCertificate | undefined;
  /** Name in its certificate, as policy matches it: without `spiffe://`; null without a certificate. */
  readonly principal: string | null;
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

/** Ends TLS on connections that somebody else accepted, and tells each one's outcome once. */
export class TlsAcceptor<Peer extends SecuredPeer> {
  readonly #env: TlsEnvironment;
  readonly #server: Server;
  readonly #check: (socket: TLSSocket) => Peer | HandshakeFailure;
  /** INVARIANT: an entry lives from `accept` to the handshake's end or the socket's close. */
  readonly #waiting = new WeakMap<Socket, (outcome: Peer | HandshakeFailure) => void>();

  /** @param check what a client must have shown besides what OpenSSL verified; called once for each handshake that ended well. */
  constructor(
    env: TlsEnvironment,
    options: TlsOptions,
    check: (socket: TLSSocket) => Peer | HandshakeFailure,
  ) {
    this.#env = env;
    this.#check = check;
    this.#server = createServer({
      handshakeTimeout: env.http.limits.handshakeTimeoutMs,
      ...options,
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => this.#failed(error, socket));
  }

  /** For clients that ask for the state of the certificate that they are shown. Each handshake then takes a turn more. */
  staple(responseFor: (certificate: Buffer) => Buffer | undefined): void {
    this.#server.on(
      "OCSPRequest",
      (certificate: Buffer, _issuer: Buffer, done: (error: Error | null, response: Buffer) => void) =>
        done(null, (responseFor(certificate) ?? null) as Buffer),
    );
  }

  /** For handshakes from now on. */
  setSecureContext(options: TlsOptions): void {
    this.#server.setSecureContext(options);
  }

  /** @param socket whose next byte is a ClientHello's first. `done` is called at most once. */
  accept(socket: Socket, done: (outcome: Peer | HandshakeFailure) => void): void {
    this.#waiting.set(socket, done);
    this.#env.sockets.delete(socket);
    socket.on("error", ignore);
    socket.once("close", () => setImmediate(() => this.#settle(socket, GONE)));
    // A handshake needs both directions: a client that ends its own is gone. The TLS socket inherits this until #secured.
    socket.allowHalfOpen = false;
    this.#server.emit("connection", socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", ignore);
    socket.allowHalfOpen = true;
    this.#env.sockets.add(socket);
    socket.once("close", () => this.#env.sockets.delete(socket));
    const outcome = this.#check(socket);
    this.#settle(rawSocket(socket), outcome);
    if ("code" in outcome) socket.destroy();
  }

  #failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const reason = socket.authorizationError as unknown;
    if (error.code === "ECONNRESET" && typeof reason !== "string" && !(reason instanceof Error)) {
      this.#settle(rawSocket(socket), GONE);
      return;
    }
    const code =
      typeof reason === "string"
        ? reason
        : reason instanceof Error
          ? reason.message
          : (error.code ?? "handshake-failed");
    const certificate = shownCertificate(socket);
    const message = error.message.split("\n", 1)[0] ?? "";
    this.#settle(rawSocket(socket), {
      code,
      message: message.replace(/^[0-9A-F]+:error:/, ""),
      ...(certificate === undefined || "error" in certificate ? {} : { certificate }),
    });
    socket.destroy();
  }

  #settle(socket: Socket, outcome: Peer | HandshakeFailure): void {
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
export function rawSocket(socket: TLSSocket): Socket {
  return (socket as unknown as { _parent?: Socket })._parent ?? socket;
}

/** What the client showed, verified or not; undefined for nothing. */
export function shownCertificate(socket: TLSSocket): ReturnType<typeof peerFromCertificateDer> | undefined {
  const der = peerDer(socket);
  return der === undefined ? undefined : peerFromCertificateDer(der);
}

/** By the session's own copy of the certificate, at a sixth of the cost; by the X.509 object where that fails. */
function peerDer(socket: TLSSocket): Buffer | undefined {
  if (socket.destroyed) return undefined;
  const session = socket.getSession();
  const fast = session === undefined ? undefined : certificateFromSession(session);
  return fast ?? socket.getPeerX509Certificate()?.raw;
}

/** The server name that the client asked for, and the protocol that was agreed on. */
export function agreedNames(socket: TLSSocket): Pick<SecuredPeer, "sni" | "alpn"> {
  const { servername } = socket as unknown as { servername?: string | false };
  const { alpnProtocol } = socket;
  return {
    sni: typeof servername === "string" ? servername : "",
    alpn: typeof alpnProtocol === "string" ? alpnProtocol : undefined,
  };
}

export function describeTls(socket: TLSSocket, certificate: PeerCertificate | undefined): FlowTls {
  return {
    version: socket.getProtocol() ?? undefined,
    cipher: socket.getCipher().standardName,
    ...(certificate === undefined ? {} : { peerSerial: certificate.serial.toUpperCase() }),
    resumed: socket.isSessionReused(),
  };
}
