import { constants } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { PresentedCertificate } from "../../identity/authentication/caller.ts";
import { peerCertificateDer, peerFromCertificateDer } from "../../identity/peer-certificate.ts";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/** What a server shows, and whom it trusts; all in PEM. */
export interface ServingIdentity {
  readonly certificateChainPem: string;
  readonly keyPem: string;
  /** Roots of the clients' certificates. */
  readonly clientRootsPem: string;
}

/** A connection whose handshake is over. */
export interface TlsCaller {
  readonly address: string;
  /** Undefined: the client showed none. */
  readonly certificate: PresentedCertificate | undefined;
}

export interface TlsListenerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly identity: ServingIdentity;
  readonly onConnection: (socket: TLSSocket) => void;
  /** A connection that got no further than TLS. */
  readonly onRefused: (refusal: BulwarkError, address: string | undefined) => void;
}

const MAX_CONNECTIONS = 1000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * TLS 1.3 for gRPC, where a client may show a certificate and need not. A bad one is kept as what it is: the call is refused by name, and on
 * record, where a broken handshake would tell nobody why.
 */
export class TlsListener {
  readonly #options: TlsListenerOptions;
  readonly #server: ReturnType<typeof createServer>;
  readonly #callers = new Map<string, TlsCaller>();
  readonly #sockets = new Set<TLSSocket>();

  constructor(options: TlsListenerOptions) {
    this.#options = options;
    this.#server = createServer({
      ...contextOf(options.identity),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("secureConnection", (socket) => this.#accept(socket));
    this.#server.on("tlsClientError", (error, socket) => this.#failed(error, socket));
    this.#server.on("drop", (dropped) =>
      this.#refuse(`there are ${MAX_CONNECTIONS} connections already`, dropped?.remoteAddress),
    );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** @throws {BulwarkError} BW_CA_GRPC_LISTEN */
  listen(): Promise<void> {
    const { host, port } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", (cause) => {
      const message = `cannot listen on ${host}:${port}: ${cause.message}`;
      reject(new BulwarkError("BW_CA_GRPC_LISTEN", message, { cause }));
    });
    this.#server.listen(port, host, () => {
      this.#server.on("error", () => {});
      resolve();
    });
    return promise;
  }

  /** From the next handshake on. */
  setIdentity(identity: ServingIdentity): void {
    this.#server.setSecureContext(contextOf(identity));
  }

  /** @param peer `address:port` of the other end, as gRPC names it. */
  callerOf(peer: string): TlsCaller | undefined {
    return this.#callers.get(peer);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Whoever only goes away, as a check that the port is open does, was refused nothing. */
  #failed(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const { remoteAddress } = socket;
    socket.destroy();
    const why = handshakeFailure(error);
    if (why !== undefined) this.#refuse(why, remoteAddress);
  }

  #refuse(why: string, address: string | undefined): void {
    this.#options.onRefused(new BulwarkError("BW_CA_TLS", why), address);
  }

  #accept(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || socket.alpnProtocol !== "h2") {
      socket.destroy();
      this.#refuse("the client did not agree on HTTP/2", remoteAddress);
      return;
    }
    const peer = `${remoteAddress}:${remotePort}`;
    this.#callers.set(peer, { address: remoteAddress, certificate: presentedBy(socket) });
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#callers.delete(peer);
      this.#sockets.delete(socket);
    });
    this.#options.onConnection(socket);
  }
}

/** OpenSSL's and Node's names for what went wrong; anything else in an error may be the client's own words. */
function handshakeFailure({ code }: NodeJS.ErrnoException): string | undefined {
  if (code === "ERR_TLS_HANDSHAKE_TIMEOUT") return "the handshake took too long";
  const [, name] = /^ERR_SSL_([A-Z0-9_]{1,60})$/.exec(code ?? "") ?? [];
  return name === undefined ? undefined : `the handshake failed: ${name.toLowerCase().replaceAll("_", " ")}`;
}

function contextOf({ certificateChainPem, keyPem, clientRootsPem }: ServingIdentity): TlsOptions {
  return {
    cert: certificateChainPem,
    key: keyPem,
    ca: clientRootsPem,
    ...TLS_PROFILE.mesh,
    // No tickets: a resumed session would carry on a verdict about a certificate from before a root was taken out.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function presentedBy(socket: TLSSocket): PresentedCertificate | undefined {
  const der = peerCertificateDer(socket);
  if (der === undefined) return undefined;
  if (!socket.authorized) return untrusted(String(socket.authorizationError));
  const peer = peerFromCertificateDer(der);
  if ("error" in peer)
    return { trusted: false, code: "BW_CA_CERTIFICATE_UNTRUSTED", reason: "the certificate cannot be read" };
  return { trusted: true, peer };
}

/** @param why OpenSSL's name for what is wrong with the chain. */
function untrusted(why: string): PresentedCertificate {
  if (why.includes("CERT_HAS_EXPIRED"))
    return { trusted: false, code: "BW_PEER_EXPIRED", reason: "the certificate has expired" };
  if (why.includes("CERT_NOT_YET_VALID"))
    return { trusted: false, code: "BW_PEER_NOT_YET_VALID", reason: "the certificate is not valid yet" };
  const reason = "the certificate does not lead to a root of this mesh";
  return { trusted: false, code: "BW_CA_CERTIFICATE_UNTRUSTED", reason };
}
