/** What stands at the far end: answers whatever comes, and keeps what came. */
import { performServerHandshake } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";
import { ClientHelloReader } from "../../src/dataplane/codec/client-hello.ts";
import { peerFromCertificateDer } from "../../src/identity/peer-certificate.ts";

const HANDSHAKE = 0x16;
const RESPONSE = "HTTP/1.1 200 OK\r\nconnection: close\r\n";

/** TLS that the responder ended, as the proxy before it spoke it. */
export interface PeeledTls {
  readonly kind: "mtls" | "mutual" | "simple";
  readonly sni: string | undefined;
}

/** One connection's first message. */
export interface Arrival {
  /** The address and port that were dialled. */
  readonly address: string;
  readonly port: number;
  readonly tls: PeeledTls | undefined;
  /** Undefined when it was no HTTP. */
  readonly requestLine: string | undefined;
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bytes: Buffer;
}

export interface ResponderOptions {
  /** With which certificate to end this TLS; undefined: do not, it is the client's own. */
  readonly terminate?: (hello: Buffer, alpn: readonly string[], address: string) => SecureContext | undefined;
}

export class Responder {
  /** Emptied by whoever waits for the next. */
  readonly arrivals: Arrival[] = [];
  readonly #servers = new Map<string, Server>();
  readonly #options: ResponderOptions;

  constructor(options: ResponderOptions = {}) {
    this.#options = options;
  }

  /** Listens, unless it does so already. */
  async listen(address: string, port: number): Promise<void> {
    const key = `${address}:${port}`;
    if (!this.#servers.has(key)) this.#servers.set(key, await this.#open(address, port));
  }

  /** Listens on one more port of the address, and tells which. */
  async listenAnew(address: string): Promise<number> {
    const server = await this.#open(address, 0);
    const bound = server.address();
    if (typeof bound !== "object" || bound === null) throw new Error("the responder does not listen");
    this.#servers.set(`${address}:${bound.port}`, server);
    return bound.port;
  }

  #open(address: string, port: number): Promise<Server> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    return new Promise((resolve, reject) => {
      server.once("error", reject).listen(port, address, () => resolve(server));
    });
  }

  async close(): Promise<void> {
    const closing = [...this.#servers.values()].map((server) => new Promise((done) => server.close(done)));
    this.#servers.clear();
    await Promise.all(closing);
  }

  #accept(socket: Socket): void {
    socket.on("error", ignore);
    const { terminate } = this.#options;
    const dialled = { address: plainAddress(socket.localAddress), port: socket.localPort ?? 0 };
    if (terminate === undefined) {
      this.#serve(socket, dialled, undefined);
      return;
    }
    let seen: Buffer = Buffer.alloc(0);
    const reader = new ClientHelloReader();
    const onData = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const hello = seen[0] === HANDSHAKE ? reader.push(chunk) : undefined;
      if (hello?.kind === "need-more") return;
      socket.off("data", onData).pause().unshift(seen);
      const context = hello?.kind === "hello" ? terminate(seen, hello.alpn, dialled.address) : undefined;
      if (context === undefined) this.#serve(socket, dialled, undefined);
      else this.#peel(socket, dialled, context, hello?.kind === "hello" ? hello.serverName : undefined);
    };
    socket.on("data", onData);
  }

  #peel(socket: Socket, dialled: Dialled, secureContext: SecureContext, sni: string | undefined): void {
    const secure = new TLSSocket(socket, {
      isServer: true,
      requestCert: true,
      rejectUnauthorized: false,
      secureContext,
      ALPNProtocols: ["istio-http/1.1", "istio-h2", "istio", "http/1.1", "h2"],
    });
    secure.on("error", ignore);
    secure.once("secure", () => {
      // Only a tls.Server says that the handshake is over; without it HTTP/2 waits for ever.
      Object.assign(secure, { secureConnecting: false });
      this.#serve(secure, dialled, { kind: kindOf(secure), sni });
    });
  }

  #serve(socket: Socket, dialled: Dialled, tls: PeeledTls | undefined): void {
    let bytes: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const text = bytes.toString("latin1");
      if (text.startsWith(HTTP2_PREFACE)) {
        socket.off("data", onData).pause().unshift(bytes);
        this.#serveHttp2(socket, dialled, tls, bytes);
        return;
      }
      const isHttp = /^[^ \r\n]+ [^\r\n]* HTTP\/1\.\d\r\n/.test(text);
      if (isHttp && !text.includes("\r\n\r\n")) return;
      socket.off("data", onData).on("data", ignore);
      this.arrivals.push({ ...dialled, tls, bytes, ...(isHttp ? readHead(text) : NO_HEAD) });
      const body = text.startsWith("HEAD ") ? "" : "ok";
      socket.end(isHttp ? `${RESPONSE}content-length: 2\r\n\r\n${body}` : "PONG\n");
    };
    socket.on("data", onData).resume();
  }

  #serveHttp2(socket: Socket, dialled: Dialled, tls: PeeledTls | undefined, bytes: Buffer): void {
    const session = performServerHandshake(socket);
    session.on("error", ignore);
    session.on("stream", (stream, head, _flags, raw) => {
      stream.on("error", ignore).resume();
      const flat = raw as unknown as readonly string[];
      const headers: [string, string][] = [["host", head[":authority"] ?? ""]];
      for (let at = 0; at + 1 < flat.length; at += 2) {
        const name = flat[at] ?? "";
        if (!name.startsWith(":")) headers.push([name, flat[at + 1] ?? ""]);
      }
      const requestLine = `${head[":method"] ?? ""} ${head[":path"] ?? ""} HTTP/2`;
      this.arrivals.push({ ...dialled, tls, bytes, requestLine, headers });
      stream.respond({ ":status": 200, "content-length": 2 }, { endStream: head[":method"] === "HEAD" });
      if (head[":method"] !== "HEAD") stream.end("ok");
      stream.once("close", () => setImmediate(() => session.close()));
    });
  }
}

/** What opens a connection of HTTP/2 (RFC 9113 §3.4), as far as no request of HTTP/1.1 can begin with it. */
const HTTP2_PREFACE = "PRI * HTTP/2.0\r\n";

interface Dialled {
  readonly address: string;
  readonly port: number;
}

const NO_HEAD = { requestLine: undefined, headers: [] };

function readHead(text: string): Pick<Arrival, "requestLine" | "headers"> {
  const [requestLine, ...lines] = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { requestLine, headers };
}

function kindOf(socket: TLSSocket): PeeledTls["kind"] {
  const der = socket.getPeerX509Certificate()?.raw;
  if (der === undefined) return "simple";
  const peer = peerFromCertificateDer(der);
  return "error" in peer || peer.spiffeId === undefined ? "mutual" : "mtls";
}

function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

function ignore(): void {}
