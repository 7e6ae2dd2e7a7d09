/** The application behind every proxy: tells what it saw, many times on one connection. */

import { performServerHandshake, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { forwardedAs } from "./outcome.ts";

const HEAD_END = "\r\n\r\n";

export class Application {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static start(): Promise<Application> {
    const server = createServer({ noDelay: true }, serve);
    return new Promise((resolve, reject) => {
      server.once("error", reject).listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(new Application(server, typeof address === "object" && address !== null ? address.port : 0));
      });
    });
  }

  stop(): void {
    this.#server.close();
  }
}

/** Answers each request with what it says, of HTTP/1.1 and HTTP/2; whatever is no HTTP with four letters. */
function serve(socket: Socket): void {
  socket.on("error", () => {});
  socket.once("readable", () => {
    const first: Buffer | null = socket.read();
    if (first === null) return;
    socket.unshift(first);
    if (first.toString("latin1").startsWith("PRI ")) serveHttp2(socket);
    else serveHttp1(socket);
  });
}

function serveHttp1(socket: Socket): void {
  let received = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    received += text;
    if (!/^[A-Za-z-]+ /.test(received)) {
      received = "";
      socket.write("PONG\n");
      return;
    }
    for (let end = received.indexOf(HEAD_END); end >= 0; end = received.indexOf(HEAD_END)) {
      const head = received.slice(0, end);
      const body = bodyOf(head, received.slice(end + HEAD_END.length));
      if (body === undefined) return;
      socket.write(answerTo(head, body.text));
      received = received.slice(end + HEAD_END.length + body.length);
    }
  });
}

/** Undefined while it is not there whole. */
function bodyOf(head: string, rest: string): { readonly text: string; readonly length: number } | undefined {
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  if (!/\r\ntransfer-encoding: *chunked/i.test(head))
    return rest.length < length ? undefined : { text: rest.slice(0, length), length };
  let text = "";
  for (let at = 0; ; ) {
    const line = rest.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(rest.slice(at, line), 16);
    const end = line + 2 + size + 2;
    if (rest.length < end) return undefined;
    text += rest.slice(line + 2, line + 2 + size);
    if (size === 0) return { text, length: end };
    at = end;
  }
}

function serveHttp2(socket: Socket): void {
  const session = performServerHandshake(socket);
  session.on("error", () => {});
  session.on("stream", (stream: ServerHttp2Stream, own, _flags, raw) => {
    let body = "";
    stream.on("error", () => {});
    stream.setEncoding("latin1").on("data", (text: string) => {
      body += text;
    });
    const flat = raw as unknown as readonly string[];
    const headers = flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""] as const] : []));
    stream.on("end", () => {
      if (stream.destroyed) return;
      const text = told(
        String(own[":path"]),
        String(own[":authority"]),
        String(own[":method"]),
        headers,
        body,
      );
      stream.respond({ ":status": 200, "x-application": "yes" });
      stream.end(text);
    });
  });
}

function told(
  path: string,
  host: string,
  method: string,
  headers: readonly (readonly [string, string])[],
  body: string,
): string {
  return Buffer.from(forwardedAs(path, host, method, headers, body), "latin1").toString("base64");
}

function headersOf(head: string): (readonly [string, string])[] {
  return head
    .split("\r\n")
    .slice(1)
    .map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    });
}

function answerTo(head: string, received: string): string {
  const [method = "", path = ""] = (head.split("\r\n", 1)[0] ?? "").split(" ");
  const host = /\r\nhost: *(.*)/i.exec(head)?.[1] ?? "";
  const body = told(path, host, method, headersOf(head), received);
  return `HTTP/1.1 200 OK\r\nx-application: yes\r\ncontent-length: ${body.length}${HEAD_END}${method === "HEAD" ? "" : body}`;
}
