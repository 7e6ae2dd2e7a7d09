/** Sends a request of the analysis to a running server, as somebody who holds the mesh's root key can, and tells whether it got through. */
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { clientHello } from "../../../src/attack/client-hello-bytes.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import type { CertificateForge } from "../../../tools/corpus/live-certificates.ts";
import type { TokenSigner } from "../../../tools/differential/token-signer.ts";

/** Where policies say nothing of addresses. */
const ANYWHERE = "10.99.0.1";
const ANSWER_MS = 20_000;
/** No start of any method: told to be opaque at once. */
const RAW = Buffer.from("\u0001\u0002 raw bytes");

export interface ReplayTarget {
  readonly address: string;
  /** Where the mesh listens for a port of the container. */
  readonly socketPort: number;
  readonly opaque: boolean;
}

export interface Replayed {
  /** Undefined: an error came that the application may have caused; the record of the request tells. */
  readonly allowed: boolean | undefined;
  /** What was seen, for whoever looks into a difference. */
  readonly seen: string;
}

export class Replayer {
  readonly #forge: CertificateForge;
  readonly #signer: TokenSigner;

  constructor(forge: CertificateForge, signer: TokenSigner) {
    this.#forge = forge;
    this.#signer = signer;
  }

  /** @throws {Error} where what comes back is neither the application's nor a refusal. */
  async replay(request: AccessRequest, target: ReplayTarget): Promise<Replayed> {
    const { from = {}, protocol = "http" } = request;
    const raw = connect({
      host: target.address,
      port: target.socketPort,
      localAddress: from.ip ?? ANYWHERE,
      noDelay: true,
    });
    raw.on("error", () => {});
    const timer = setTimeout(() => raw.destroy(new Error("late")), ANSWER_MS);
    try {
      if (from.tls === "simple") return await this.#ownTls(raw, request, target);
      const socket = this.#secured(raw, request);
      if (protocol === "tcp") return await exchange(socket, RAW, isEcho);
      if (protocol === "http")
        return await exchange(socket, this.#head(request), target.opaque ? isEcho : isApplication);
      return target.opaque
        ? await exchange(socket, Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), isEcho)
        : await this.#http2(socket, request);
    } finally {
      clearTimeout(timer);
      raw.destroy();
    }
  }

  /** The client's own TLS, which only the application can end: who gets an echo out of it has reached that. */
  async #ownTls(raw: Socket, { sni = "" }: AccessRequest, { opaque }: ReplayTarget): Promise<Replayed> {
    if (opaque) return await exchange(raw, await clientHello(sni), isEcho);
    const socket = connectTls({
      socket: raw,
      rejectUnauthorized: false,
      ...(sni === "" ? {} : { servername: sni }),
    });
    socket.on("error", () => {});
    return await exchange(socket, RAW, isEcho);
  }

  #secured(raw: Socket, { from = {}, sni = "" }: AccessRequest): Socket {
    const { principal = null, alpn = [] } = from;
    if (principal === null) return raw;
    const socket = connectTls({
      socket: raw,
      secureContext: this.#forge.context([`spiffe://${principal}`]),
      rejectUnauthorized: false,
      ALPNProtocols: [...alpn],
      ...(sni === "" ? {} : { servername: sni }),
    });
    socket.on("error", () => {});
    return socket;
  }

  #headers({ headers = [], jwt }: AccessRequest): readonly (readonly [string, string])[] {
    if (typeof jwt === "string") return [...headers, ["authorization", `Bearer ${jwt}`]];
    if (jwt === undefined) return headers;
    const token = this.#signer.sign({
      claims: jwt.claims,
      signer: "issuer",
      flaw: "none",
      place: { kind: "header", name: "authorization", prefix: "Bearer " },
    });
    return [...headers, ["authorization", `Bearer ${token}`]];
  }

  #head(request: AccessRequest): Buffer {
    const { method = "GET", path = "/", host = "app" } = request;
    const lines = [
      `${method} ${path} HTTP/1.1`,
      `host: ${host}`,
      ...this.#headers(request).map(([name, value]) => `${name}: ${value}`),
      ...(method === "GET" || method === "HEAD" ? [] : ["content-length: 0"]),
    ];
    return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  }

  /** As `can` takes it: gRPC. */
  async #http2(socket: Socket, request: AccessRequest): Promise<Replayed> {
    const session = connectHttp2("http://replay", { createConnection: () => socket });
    session.on("error", () => {});
    const { method = "POST", path = "/", host = "app" } = request;
    const own = [":method", method, ":scheme", "http", ":path", path, ":authority", host];
    const fields = [...own, ...this.#headers(request).flat(), "content-type", "application/grpc"];
    const { promise, resolve } = Promise.withResolvers<Replayed>();
    const stream = session.request(fields, { endStream: true });
    let seen = "nothing";
    let allowed: boolean | undefined = false;
    stream.on("response", (answer) => {
      const [status, grpcStatus] = [Number(answer[":status"]), answer["grpc-status"]];
      seen = `HTTP/2 ${status}, grpc-status ${grpcStatus}`;
      // A method that HTTP/1.1 does not know is let through, and the application behind cannot read it.
      allowed = status === 503 ? undefined : status === 200 && grpcStatus === undefined;
    });
    stream.on("error", () => {});
    stream.resume();
    stream.once("close", () => resolve({ allowed, seen }));
    session.once("close", () => resolve({ allowed, seen }));
    try {
      return await promise;
    } finally {
      session.destroy();
    }
  }
}

type Tell = (text: string, sent: string) => boolean | undefined;

function isEcho(text: string, sent: string): boolean | undefined {
  if (text.length < sent.length) return sent.startsWith(text) ? undefined : false;
  return text.startsWith(sent);
}

/** The built-in application answers 200; policies 403, missing tokens 401 or 403. */
function isApplication(text: string): boolean | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  if (status === 200) return true;
  if (status === 403 || status === 401) return false;
  throw new Error(`neither the application nor a refusal: ${text.slice(0, 300)}`);
}

/** Writes, and reads until it is told or the connection ends: then it is refused. */
function exchange(socket: Socket, bytes: Buffer, tell: Tell): Promise<Replayed> {
  const { promise, resolve, reject } = Promise.withResolvers<Replayed>();
  const sent = bytes.toString("latin1");
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    try {
      const allowed = tell(text, sent);
      if (allowed !== undefined) resolve({ allowed, seen: text.slice(0, 300) });
    } catch (error) {
      reject(error);
    }
  });
  const end = (): void =>
    resolve({ allowed: false, seen: `the end after ${JSON.stringify(text.slice(0, 100))}` });
  socket.once("end", end);
  socket.once("close", end);
  socket.write(bytes);
  return promise;
}
