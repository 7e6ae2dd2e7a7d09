/** The same as wire.ts over HTTP/2: one connection, stream after stream. */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { SentRequest } from "./materialize.ts";
import { connected, connectionKey, type WireAnswer, type WireDial } from "./wire.ts";

const TIMEOUT_MS = 10_000;

/** Sends each request when the one before was answered; on a new connection where the other side ended the last one. */
export async function converseHttp2(dial: WireDial, requests: readonly SentRequest[]): Promise<WireAnswer[]> {
  const answers: WireAnswer[] = [];
  let wire: Wire | undefined;
  for (const request of requests) {
    if (wire === undefined || wire.ended) wire = await Wire.open(dial);
    answers.push(await wire.ask(request));
  }
  wire?.close();
  return answers;
}

class Wire {
  readonly #session: ClientHttp2Session;
  readonly #key: string;
  readonly #address: string;

  private constructor(session: ClientHttp2Session, key: string, address: string) {
    this.#session = session;
    this.#key = key;
    this.#address = address;
  }

  static async open(dial: WireDial): Promise<Wire> {
    const raw = await connected(dial);
    const key = connectionKey(dial.from, raw.localPort ?? 0, dial.port);
    const socket: Socket | TLSSocket =
      dial.tls === undefined ? raw : connectTls({ ...dial.tls, socket: raw, rejectUnauthorized: false });
    socket.on("error", () => {});
    // The types do not know it yet.
    const lenient = { strictSingleValueFields: false } as object;
    const session = connectHttp2("http://differential", { ...lenient, createConnection: () => socket });
    session.on("error", () => {});
    return new Wire(session, key, dial.address);
  }

  get ended(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  ask({ method, target, host, headers, body = null }: SentRequest): Promise<WireAnswer> {
    const own = [":method", method, ":scheme", "http", ":path", target, ":authority", host];
    const length = body === null || body.chunked ? [] : ["content-length", String(body.text.length)];
    const fields = [...own, ...headers.flatMap(([name, value]) => [name.toLowerCase(), value]), ...length];
    let status = 0;
    let told = "";
    let fromApplication = false;
    let text = "";
    const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>();
    const done = (): void => resolve({ key: this.#key, status, told, fromApplication, text });
    if (this.ended) done();
    else {
      const stream = this.#session.request(fields, { endStream: body === null });
      const timer = setTimeout(() => {
        const asked = JSON.stringify(fields);
        reject(new Error(`no answer over HTTP/2 from ${this.#address} in ${TIMEOUT_MS} ms to ${asked}`));
        this.#session.destroy();
      }, TIMEOUT_MS);
      stream.on("response", (answer) => {
        status = Number(answer[":status"]);
        told = String(answer["x-decided"] ?? "");
        fromApplication = answer["x-application"] === "yes";
      });
      stream.setEncoding("latin1").on("data", (chunk: string) => {
        text += chunk;
      });
      stream.on("error", () => {});
      stream.once("close", () => {
        clearTimeout(timer);
        done();
      });
      if (body !== null) stream.end(body.text, "latin1");
    }
    return promise;
  }

  close(): void {
    this.#session.destroy();
  }
}
