/** Envoy's external authorization protocol, served: gRPC and HTTP on one port. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttp2, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from "node:net";
import {
  CHECK_METHOD,
  type CheckRequest,
  type CheckResponse,
  decodeCheckRequest,
  encodeCheckResponse,
} from "../dataplane/ext-authz/check-message.ts";
import { frame, MAX_MESSAGE_BYTES, unframe } from "../dataplane/ext-authz/grpc-call.ts";
import { http } from "../resources/node-http.ts";
import type { AccessDecision, AccessFacts } from "./decide-access.ts";

/** Decides; undefined where it cannot, because its context is not known. */
export type DecideAccess = (facts: AccessFacts) => AccessDecision | undefined;

export interface AuthorizerAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

const UNAVAILABLE = 14;
const UNIMPLEMENTED = 12;
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const PERMISSION_DENIED = 7;
const FORBIDDEN = 403;
const SERVICE_UNAVAILABLE = 503;
/** For the first bytes of a connection, of a request's head, and for a whole request. */
const TIMEOUT_MS = 10_000;
const HTTP2_PREFACE = "PRI ";

export class AuthorizerServer {
  readonly #decide: DecideAccess;
  readonly #http = http.createServer(
    { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS },
    (request, response) => this.#answerHttp(request, response),
  );
  readonly #http2 = createHttp2();
  readonly #tcp: Server = createTcp((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();

  constructor(decide: DecideAccess) {
    this.#decide = decide;
    this.#http2.on("stream", (stream: ServerHttp2Stream, headers) => this.#answerGrpc(stream, headers));
    this.#http2.on("sessionError", ignore);
    this.#http.on("clientError", (_error, socket) => socket.destroy());
  }

  /** @throws the system's error where the address cannot be bound. */
  async listen({ host, port }: AuthorizerAddress): Promise<AddressInfo> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#tcp.once("error", reject).listen(port, host, resolve);
    await promise;
    this.#tcp.off("error", reject).on("error", ignore);
    return this.#tcp.address() as AddressInfo;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** A client that speaks HTTP/2 says so first (RFC 9113 §3.4). */
  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", ignore).once("close", () => this.#sockets.delete(socket));
    const timer = setTimeout(() => socket.destroy(), TIMEOUT_MS);
    socket.once("close", () => clearTimeout(timer));
    let first = Buffer.alloc(0);
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      first = Buffer.concat([first, chunk]);
      const text = first.toString("latin1", 0, HTTP2_PREFACE.length);
      if (text.length < HTTP2_PREFACE.length && HTTP2_PREFACE.startsWith(text)) return;
      clearTimeout(timer);
      socket.off("readable", onReadable).off("end", onEnd);
      socket.unshift(first);
      (text === HTTP2_PREFACE ? this.#http2 : this.#http).emit("connection", socket);
    };
    const onEnd = (): void => void socket.destroy();
    socket.on("readable", onReadable).once("end", onEnd);
  }

  /** Proxies ask with the caller's own method, path and headers; the body, where they show one, decides nothing here. */
  #answerHttp(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const decision = this.#decide(factsOfHttp(request));
    if (decision === undefined) {
      response.writeHead(SERVICE_UNAVAILABLE).end("no context");
      return;
    }
    if (!decision.allowed) {
      response.writeHead(FORBIDDEN, { "content-type": "text/plain" }).end(messageOf(decision));
      return;
    }
    for (const [name, value] of decision.setHeaders) response.setHeader(name, value);
    if (decision.removeHeaders.length > 0)
      response.setHeader("x-envoy-auth-headers-to-remove", decision.removeHeaders.join(","));
    response.writeHead(200).end();
  }

  #answerGrpc(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on("error", ignore);
    if (
      headers[":path"] !== CHECK_METHOD ||
      !String(headers["content-type"]).startsWith("application/grpc")
    ) {
      endWith(stream, UNIMPLEMENTED);
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_MESSAGE_BYTES + 5) chunks.push(chunk);
      else endWith(stream, RESOURCE_EXHAUSTED);
    });
    stream.once("end", () => {
      if (!stream.headersSent && !stream.destroyed) this.#check(stream, Buffer.concat(chunks));
    });
  }

  #check(stream: ServerHttp2Stream, body: Buffer): void {
    const request = readCheck(body);
    if (request === undefined) {
      endWith(stream, INVALID_ARGUMENT);
      return;
    }
    const decision = this.#decide(factsOfCheck(request));
    if (decision === undefined) {
      endWith(stream, UNAVAILABLE);
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame(encodeCheckResponse(responseTo(decision))));
  }
}

function ignore(): void {}

/** A call that ends without a message. */
function endWith(stream: ServerHttp2Stream, status: number): void {
  if (stream.headersSent || stream.destroyed) return;
  const head = { ":status": 200, "content-type": "application/grpc", "grpc-status": String(status) };
  stream.respond(head, { endStream: true });
}

function readCheck(body: Buffer): CheckRequest | undefined {
  const message = unframe(body);
  if (message === undefined) return undefined;
  try {
    return decodeCheckRequest(message);
  } catch {
    return undefined;
  }
}

function responseTo(decision: AccessDecision): CheckResponse {
  if (!decision.allowed) {
    const denied = { status: FORBIDDEN, headers: [], body: messageOf(decision) };
    return { code: PERMISSION_DENIED, ok: null, denied, error: null };
  }
  const headers = decision.setHeaders.map(([name, value]) => ({ name, value, action: "set" as const }));
  const ok = {
    headers,
    headersToRemove: decision.removeHeaders,
    responseHeaders: [],
    queryToSet: [],
    queryToRemove: [],
  };
  return { code: 0, ok, denied: null, error: null };
}

function messageOf({ rule }: AccessDecision): string {
  return rule?.message ?? "access denied";
}

const SPIFFE = "spiffe://";

function factsOfCheck({ source, destination, http }: CheckRequest): AccessFacts {
  return {
    principal: source.principal.startsWith(SPIFFE) ? source.principal.slice(SPIFFE.length) : "",
    ip: source.ip,
    destinationPort: destination.port,
    method: http?.method ?? "",
    path: withoutQuery(http?.path ?? ""),
    host: http?.host ?? "",
    headers: http?.headers ?? new Map(),
  };
}

/**
 * Who calls is known by gRPC only. By HTTP it would stand in X-Forwarded-Client-Cert, to which the authorizer's own sidecar adds
 * who asks: which element is the caller's depends on how the question came, and that is nothing to guess about.
 */
function factsOfHttp({ method = "", url = "", headers }: IncomingMessage): AccessFacts {
  const flat = Object.entries(headers).map(
    ([name, value]) => [name, Array.isArray(value) ? value.join(",") : (value ?? "")] as const,
  );
  return {
    principal: "",
    ip: "",
    destinationPort: 0,
    method,
    path: withoutQuery(url),
    host: headers.host ?? "",
    headers: new Map(flat),
  };
}

function withoutQuery(path: string): string {
  const mark = path.indexOf("?");
  return mark < 0 ? path : path.slice(0, mark);
}
