/** Authorizers that a test tells what to answer: HTTP and gRPC on one port, told apart by their first bytes. */
import {
  createServer as createHttp,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  createServer as createHttp2,
  type Http2Server,
  Http2ServerRequest,
  Http2ServerResponse,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import {
  CHECK_METHOD,
  type CheckRequest,
  type CheckResponse,
  decodeCheckRequest,
  encodeCheckResponse,
} from "../../../src/dataplane/ext-authz/check-message.ts";
import { frame, unframe } from "../../../src/dataplane/ext-authz/grpc-call.ts";

export interface SeenHttpCheck {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export const ALLOWED: CheckResponse = { code: 0, ok: null, denied: null, error: null };
export const DENIED: CheckResponse = { code: 7, ok: null, denied: null, error: null };

export class AuthorizerServers {
  readonly grpcChecks: CheckRequest[] = [];
  readonly httpChecks: SeenHttpCheck[] = [];
  /** What gRPC checks get; a promise that never settles is an authorizer that hangs. */
  grpc: (request: CheckRequest) => CheckResponse | Promise<CheckResponse> = () => ALLOWED;
  http: (check: SeenHttpCheck, response: ServerResponse) => void = (_check, response) => response.end();
  readonly #http: HttpServer;
  readonly #http2: Http2Server;
  readonly sockets = new Set<Socket>();

  constructor() {
    this.#http = createHttp((request, response) => void this.#answerHttp(request, response));
    this.#http2 = createHttp2();
    this.#http2.on("sessionError", () => {});
    this.#http2.on("stream", (stream: ServerHttp2Stream, headers, _flags, raw) => {
      if (headers["content-type"] === "application/grpc")
        void this.#answerGrpc(stream, String(headers[":path"]));
      // HTTP checks over HTTP/2, by Node's interface of HTTP/1.1.
      else
        void this.#answerHttp(
          new Http2ServerRequest(stream, headers, {}, raw) as unknown as IncomingMessage,
          new Http2ServerResponse(stream) as unknown as ServerResponse,
        );
    });
  }

  /** For a TCP server: takes a connection of either protocol. */
  readonly accept = (socket: Socket): void => {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket)).on("error", () => {});
    socket.once("readable", () => {
      const first: Buffer | null = socket.read();
      if (first === null) return;
      socket.unshift(first);
      (first.toString("latin1").startsWith("PRI ") ? this.#http2 : this.#http).emit("connection", socket);
    });
  };

  async #answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = "", url: path = "", headers } = request;
    const check = { method, path, headers, body: Buffer.concat(chunks).toString("latin1") };
    this.httpChecks.push(check);
    this.http(check, response);
  }

  async #answerGrpc(stream: ServerHttp2Stream, path: string): Promise<void> {
    stream.on("error", () => {});
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    const message = unframe(Buffer.concat(chunks));
    if (path !== CHECK_METHOD || message === undefined) throw new Error(`not a check: ${path}`);
    const request = decodeCheckRequest(message);
    this.grpcChecks.push(request);
    const answer = await this.grpc(request);
    if (stream.destroyed) return;
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame(encodeCheckResponse(answer)));
  }
}
