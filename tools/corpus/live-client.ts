/** A client that sends bytes exactly as recorded, and tells what came back. */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";

const TIMEOUT_MS = 5000;
const SOCKS_REPLY_BYTES = 2 + 2 + 10;
const HEAD_END = "\r\n\r\n";

export interface Answer {
  /** Of a response that began as HTTP; 0 when none did. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Whether there was anybody at the address. */
  readonly connected: boolean;
  /** Why the exchange ended without the server's doing; it never should. */
  readonly timedOut: boolean;
}

export interface Dial {
  readonly from: string;
  readonly address: string;
  readonly port: number;
  readonly tls?: ConnectionOptions;
}

/** Connects, sends, and reads until the response is whole or the connection is closed. Never rejects. */
export async function exchange(dial: Dial, bytes: Buffer): Promise<Answer> {
  const { from, address, port, tls } = dial;
  const raw = connect({ host: address, port, localAddress: from, noDelay: true });
  const socket = tls === undefined ? raw : connectTls({ ...tls, socket: raw, rejectUnauthorized: false });
  raw.on("error", ignore);
  return converse(socket, bytes, tls === undefined ? "connect" : "secureConnect");
}

/** Where a client of our own outbound proxy wants to go. */
export interface Behind {
  readonly secret: string;
  readonly address: string;
  readonly port: number;
}

/** The same through a SOCKS5 proxy (RFC 1928, RFC 1929), to an IPv4 address. */
export async function dialThroughProxy(dial: Dial, behind: Behind, bytes: Buffer): Promise<Answer> {
  const socket = connect({ host: dial.address, port: dial.port, localAddress: dial.from, noDelay: true });
  socket.on("error", ignore);
  socket.write(socksRequest(behind));
  await socksReply(socket);
  return converse(socket, bytes);
}

function socksRequest({ secret, address, port }: Behind): Buffer {
  const user = Buffer.from("bulwark");
  const password = Buffer.from(secret);
  return Buffer.concat([
    Buffer.from([5, 1, 2, 1, user.length]),
    user,
    Buffer.from([password.length]),
    password,
    Buffer.from([5, 1, 0, 1, ...address.split(".").map(Number), port >> 8, port & 0xff]),
  ]);
}

/** Method, authentication and connection: nothing else follows until the client speaks, or the proxy closes. */
function socksReply(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    let received = 0;
    const onData = (chunk: Buffer) => {
      received += chunk.length;
      if (received >= SOCKS_REPLY_BYTES) done();
    };
    const done = () => {
      socket.off("data", onData).off("close", done);
      resolve();
    };
    socket.on("data", onData).once("close", done);
  });
}

/** The same on a socket that is connected, or will be with `ready`. */
export function converse(
  socket: Socket,
  bytes: Buffer,
  ready?: "connect" | "secureConnect",
): Promise<Answer> {
  const headOnly = bytes.subarray(0, 5).toString("latin1") === "HEAD ";
  return new Promise((resolve) => {
    let received = "";
    let error = "";
    const finish = (timedOut: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...parse(received), connected: error !== "ECONNREFUSED", timedOut });
    };
    const timer = setTimeout(() => finish(true), TIMEOUT_MS);
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      error = code;
    });
    socket.once("close", () => finish(false));
    if (socket.destroyed) finish(false);
    socket.once("end", () => finish(false));
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
      if (isWhole(received, headOnly)) finish(false);
    });
    if (ready === undefined) socket.write(bytes);
    else socket.once(ready, () => socket.write(bytes));
  });
}

function isWhole(received: string, headOnly: boolean): boolean {
  const end = received.indexOf(HEAD_END);
  if (end < 0 || !received.startsWith("HTTP/1.1 ")) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end + 2))?.[1];
  return headOnly || (length !== undefined && received.length >= end + HEAD_END.length + Number(length));
}

function parse(received: string): Omit<Answer, "connected" | "timedOut"> {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 0);
  const end = received.indexOf(HEAD_END);
  const lines = received.slice(0, Math.max(end, 0)).split("\r\n").slice(1);
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status, headers, body: end < 0 ? "" : received.slice(end + HEAD_END.length) };
}

/** An HTTP/1.1 request byte for byte. */
export function requestBytes(
  method: string,
  path: string,
  host: string,
  headers: readonly (readonly [string, string])[],
): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join("\r\n")}${HEAD_END}`, "utf8");
}

function ignore(): void {}
