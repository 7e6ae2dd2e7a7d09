/** A client that sends bytes exactly as told, request after request, and tells what came back. */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { BodySpec } from "./differential-case.ts";
import type { SentRequest } from "./materialize.ts";

const TIMEOUT_MS = 10_000;
const REFUSED_AGAIN_MS = 5;
const HEAD_END = "\r\n\r\n";

export interface WireAnswer {
  /** The connection that it was sent on: see connectionKey. */
  readonly key: string;
  /** 0: the connection ended without an HTTP answer. */
  readonly status: number;
  readonly fromApplication: boolean;
  /** The header `x-decided`; empty for none. */
  readonly told: string;
  /** For whatever is not HTTP: everything that came. */
  readonly text: string;
}

export interface WireDial {
  readonly from: string;
  readonly address: string;
  readonly port: number;
  /** Undefined: plaintext. */
  readonly tls: ConnectionOptions | undefined;
}

/** What tells connections apart on both sides. */
export function connectionKey(clientAddress: string, clientPort: number, serverPort: number): string {
  return `${clientAddress}:${clientPort}-${serverPort}`;
}

/** Sends each message when the one before was answered; on a new connection where the other side ended the last one. */
export async function converse(
  dial: WireDial,
  messages: readonly { readonly bytes: Buffer; readonly headOnly: boolean }[],
): Promise<WireAnswer[]> {
  const answers: WireAnswer[] = [];
  let wire: Wire | undefined;
  for (const { bytes, headOnly } of messages) {
    if (wire === undefined || wire.ended) wire = await Wire.open(dial);
    answers.push(await wire.ask(bytes, headOnly));
  }
  wire?.close();
  return answers;
}

class Wire {
  readonly key: string;
  readonly #socket: Socket;
  readonly #address: string;
  #received = "";
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket, key: string, address: string) {
    this.#socket = socket;
    this.#address = address;
    this.key = key;
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("error", end).on("end", end).on("close", end);
    socket.setEncoding("latin1").on("data", (text: string) => {
      this.#received += text;
      this.#wake();
    });
  }

  static async open(dial: WireDial): Promise<Wire> {
    const raw = await connected(dial);
    const key = connectionKey(dial.from, raw.localPort ?? 0, dial.port);
    const { tls } = dial;
    return new Wire(
      tls === undefined ? raw : connectTls({ ...tls, socket: raw, rejectUnauthorized: false }),
      key,
      dial.address,
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  async ask(bytes: Buffer, headOnly: boolean): Promise<WireAnswer> {
    this.#received = "";
    this.#socket.write(bytes);
    const timer = setTimeout(() => {
      this.#received = "TIMEOUT";
      this.#socket.destroy();
    }, TIMEOUT_MS);
    while (!this.#ended && !isWhole(this.#received, headOnly))
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    clearTimeout(timer);
    const text = this.#received;
    if (text === "TIMEOUT")
      throw new Error(
        `no answer from ${this.#address} in ${TIMEOUT_MS} ms to ${JSON.stringify(bytes.toString("latin1"))}`,
      );
    const head = text.slice(0, Math.max(0, text.indexOf(HEAD_END)));
    if (/\r\nconnection: *close/i.test(head)) this.close();
    return {
      key: this.key,
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
      told: /\r\nx-decided: *(.*)/i.exec(head)?.[1] ?? "",
      fromApplication: /\r\nx-application: yes/i.test(head),
      text: head === "" ? text : text.slice(head.length + HEAD_END.length),
    };
  }

  close(): void {
    this.#ended = true;
    this.#socket.destroy();
  }
}

const FIRST_PORT = 16_000;
const LAST_PORT = 60_000;
let lastPort = FIRST_PORT;

/** One after the other: the system would soon give a port again whose connection is over, and records could not be told apart. */
function nextPort(): number {
  lastPort = lastPort === LAST_PORT ? FIRST_PORT : lastPort + 1;
  return lastPort;
}

/** A listener that was only just told to listen may not do so yet. */
export async function connected(dial: WireDial): Promise<Socket> {
  const untilMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    const raw = await tryConnect(dial);
    if (raw !== undefined) return raw;
    if (performance.now() > untilMs) throw new Error(`nobody listens on ${dial.address}:${dial.port}`);
    await new Promise((done) => setTimeout(done, REFUSED_AGAIN_MS));
  }
}

function tryConnect({ from, address, port }: WireDial): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, localAddress: from, localPort: nextPort(), noDelay: true });
    socket.once("connect", () => resolve(socket.removeAllListeners("error").on("error", () => {})));
    socket.once("error", () => resolve(undefined));
  });
}

function isWhole(received: string, headOnly: boolean): boolean {
  if (!received.startsWith("HTTP/1.1 ")) return received !== "" && !"HTTP/1.1 ".startsWith(received);
  const end = received.indexOf(HEAD_END);
  if (end < 0) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end + 2))?.[1];
  return headOnly || (length !== undefined && received.length >= end + HEAD_END.length + Number(length));
}

function framed({ text, chunked }: BodySpec): string {
  if (!chunked) return text;
  const parts = text.match(/.{1,5}/gs) ?? [];
  return `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`;
}

/** An HTTP/1.1 request byte for byte: each character is one. */
export function requestBytes({ method, target, host, headers, body = null }: SentRequest): Buffer {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === null
      ? []
      : [body.chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.text.length}`]),
  ];
  return Buffer.from(`${lines.join("\r\n")}${HEAD_END}${body === null ? "" : framed(body)}`, "latin1");
}
