import type { RequestListener } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type SecureContext, type TLSSocket } from "node:tls";
import { type SniffedProtocol, sniffProtocol } from "../../dataplane/codec/sniff.ts";
import { HTTP_METHODS } from "../../policy/http1-grammar.ts";
import { http } from "../../resources/node-http.ts";
import { acceptWebSocket } from "./websocket-echo.ts";

export interface SniffingServerOptions {
  /** HTTP/1.1 and HTTP/2; for the latter Node's compatibility objects, which differ only where the protocols do. */
  readonly onRequest: RequestListener;
  /** Opaque bytes; `first` came while the protocol was still to be told, and is not in the stream. */
  readonly onRaw: (stream: Duplex, first: Buffer) => void;
  /** The certificate for a server name; empty for a client that names none. */
  readonly secureContext: (serverName: string) => SecureContext;
  /**
   * What the port is declared to carry. `http`: told by its bytes, however slowly they come. `opaque`: not looked at.
   * `undeclared`: by its bytes; a start that can no longer be HTTP or TLS is opaque after a short while without more.
   */
  readonly declared: DeclaredTraffic;
}

export type DeclaredTraffic = "http" | "opaque" | "undeclared";

/** How long an undeclared start such as `hello`, which could still become a request line of some method, is waited on. */
const UNDECLARED_GRACE_MS = 150;
const MAX_SNIFFED_BYTES = 16_384;

/** One port that speaks whatever its client does: TLS, HTTP/1.1, HTTP/2 with prior knowledge, WebSocket, or plain bytes. */
export class SniffingServer {
  readonly #options: SniffingServerOptions;
  readonly #server: Server;
  readonly #http1;
  readonly #http2 = createHttp2Server();
  readonly #tls;
  readonly #sockets = new Set<Duplex>();

  constructor(options: SniffingServerOptions) {
    this.#options = options;
    this.#http1 = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, options.onRequest);
    this.#http1.on("upgrade", acceptWebSocket);
    this.#http1.on("clientError", (_error, socket) => socket.destroy());
    this.#http2.on("request", options.onRequest as never);
    this.#http2.on("sessionError", () => {});
    this.#tls = createTlsServer({
      ALPNProtocols: ["h2", "http/1.1"],
      SNICallback: (name, done) => this.#choose(name, done),
      ...contextOptions(options),
    });
    this.#tls.on("secureConnection", (socket) => this.#acceptTls(socket));
    this.#tls.on("tlsClientError", () => {});
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /**
   * @param where an address, or a socket that listens already.
   * @throws the system's error when the address cannot be bound.
   */
  listen(where: { readonly host: string; readonly port: number } | { readonly fd: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(where, () => {
        this.#server.off("error", reject);
        // EMFILE and the like while accepting: the client sees a refused connection, the server goes on.
        this.#server.on("error", () => {});
        resolve();
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setNoDelay(true);
    if (this.#options.declared === "opaque") this.#options.onRaw(socket, Buffer.alloc(0));
    else this.#sniff(socket, true);
  }

  #acceptTls(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    if (socket.alpnProtocol !== "h2") {
      this.#sniff(socket, false);
      return;
    }
    // HTTP/2 has no half of a connection: without this one whose client has ended stays open, and every tunnel before it.
    socket.once("end", () => socket.end());
    this.#http2.emit("connection", socket);
  }

  /**
   * INVARIANT: silence decides nothing. No echo speaks first, so there is nothing to gain by calling a silent client
   * opaque, and a proxy's new connection on a busy machine may be silent for long before its request comes.
   */
  #sniff(socket: Socket, mayBeTls: boolean): void {
    let seen: Buffer = Buffer.alloc(0);
    let timer: NodeJS.Timeout | undefined;
    const decide = (last: boolean) => {
      const protocol = sniffProtocol(seen);
      if (protocol === "need-more" && !last && seen.length < MAX_SNIFFED_BYTES) return;
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("end", onEnd);
      this.#hand(socket, seen, protocol === "tls" && !mayBeTls ? "other" : protocol);
    };
    const onGrace = () => {
      if (!startsKnownProtocol(seen)) decide(true);
    };
    const onReadable = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      clearTimeout(timer);
      if (this.#options.declared === "undeclared") timer = setTimeout(onGrace, UNDECLARED_GRACE_MS);
      decide(false);
    };
    const onEnd = () => decide(true);
    socket.once("close", () => clearTimeout(timer));
    socket.on("readable", onReadable);
    socket.on("end", onEnd);
  }

  #hand(socket: Socket, seen: Buffer, protocol: SniffedProtocol): void {
    const server = { tls: this.#tls, http1: this.#http1, http2: this.#http2 }[protocol as "tls"];
    if (server === undefined) {
      // Not put back: a client that has already ended its half could not be unshifted to.
      this.#options.onRaw(socket, seen);
      return;
    }
    socket.unshift(seen);
    server.emit("connection", socket);
  }

  #choose(name: string, done: (error: Error | null, context?: SecureContext) => void): void {
    try {
      done(null, this.#options.secureContext(name));
    } catch (error) {
      done(error instanceof Error ? error : new Error("no certificate"));
    }
  }
}

/** `SNICallback` is not asked for clients without a server name: they get this one. */
function contextOptions(options: SniffingServerOptions): { secureContext?: SecureContext } {
  return { secureContext: options.secureContext("") };
}

const CONTENT_HANDSHAKE = 0x16;

/** Whether bytes that do not tell yet are the start of TLS, of HTTP/2's preface, or of a request with a method that proxies let through. */
function startsKnownProtocol(seen: Buffer): boolean {
  if (seen[0] === CONTENT_HANDSHAKE) return true;
  const [word = "", ...rest] = seen.toString("latin1").split(" ", 2);
  if (rest.length > 0) return word === "PRI" || HTTP_METHODS.has(word);
  return ["PRI", ...HTTP_METHODS.keys()].some((method) => method.startsWith(word));
}
