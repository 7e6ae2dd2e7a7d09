import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FlowUpstream } from "../../model/flow-record.ts";
import { http } from "../../resources/node-http.ts";
import { connectUpstream, type UpstreamSettings } from "../connect-upstream.ts";
import type { UpstreamTarget } from "../upstream-target.ts";
import {
  type CallFailure,
  type CallHandler,
  type CallRequest,
  endToEnd,
  headerOf,
  type PendingCall,
  type UpstreamCall,
} from "./call.ts";
import { asObject } from "./http2-call.ts";

/** Below the 5 s after which Node's own servers close an idle connection. */
const IDLE_MS = 4000;

class ConnectError extends Error {}

/** Connections to servers of HTTP/1.1, kept while they are of use; each verified as everywhere. */
export class Http1Agent extends http.Agent {
  readonly #settings: UpstreamSettings;

  constructor(settings: UpstreamSettings, maxFreeSockets: number) {
    super({ keepAlive: true, maxFreeSockets, timeout: IDLE_MS });
    this.#settings = settings;
  }

  override getName(options?: object): string {
    return targetOf(options).poolKey;
  }

  override createConnection(
    options: object,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    connectUpstream(targetOf(options), this.#settings, false, (outcome) => {
      if (outcome instanceof Error) {
        const error = new ConnectError(outcome.message, { cause: outcome });
        done?.(error, undefined as unknown as Duplex);
      } else {
        outcome.allowHalfOpen = false;
        done?.(null, outcome);
      }
    });
    return undefined;
  }
}

function targetOf(options: object | undefined): UpstreamTarget {
  return (options as { target: UpstreamTarget }).target;
}

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** A call on a connection of HTTP/1.1: chunks and trailers are Node's. */
export class Http1Call implements PendingCall, UpstreamCall {
  upstream: FlowUpstream = {};
  readonly #target: UpstreamTarget;
  readonly #request: CallRequest;
  readonly #handler: CallHandler;
  readonly #agent: Http1Agent;
  readonly #maxHeadBytes: number;
  #client: ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  #over = false;
  #tries = 0;

  constructor(
    target: UpstreamTarget,
    request: CallRequest,
    handler: CallHandler,
    agent: Http1Agent,
    maxHeadBytes: number,
  ) {
    this.#target = target;
    this.#request = request;
    this.#handler = handler;
    this.#agent = agent;
    this.#maxHeadBytes = maxHeadBytes;
    this.#begin();
  }

  abort(): void {
    this.#over = true;
    this.#client?.destroy();
  }

  write(chunk: Buffer): boolean {
    return this.#client?.write(chunk) === true;
  }

  end(trailers: readonly string[]): void {
    const client = this.#client;
    if (client === undefined) return;
    if (trailers.length > 0 && headerOf(this.#request.headers, "content-length") === undefined)
      client.addTrailers(inPairs(trailers));
    client.end();
  }

  pause(): void {
    this.#response?.pause();
  }

  resume(): void {
    this.#response?.resume();
  }

  #begin(): void {
    this.#tries += 1;
    const { method, path } = this.#request;
    try {
      const options = {
        agent: this.#agent,
        method,
        path,
        headers: asObject(outgoing(this.#request)),
        setHost: false,
        maxHeaderSize: this.#maxHeadBytes,
        target: this.#target,
      };
      const client = http.request(options);
      // Node writes it in capitals: INVARIANT: what goes on is what was judged, and methods differ by case (RFC 9110 §9.1).
      client.method = method;
      // Node would add its own where there is none.
      client.removeHeader("connection");
      if (!this.#request.hasBody && headerOf(this.#request.headers, "content-length") === undefined) {
        client.removeHeader("content-length");
        client.removeHeader("transfer-encoding");
      }
      this.#client = client;
      this.#listen(client);
    } catch (error) {
      queueMicrotask(() => this.#fail("reset", error));
    }
  }

  #listen(client: ClientRequest): void {
    const handler = this.#handler;
    client.once("socket", (socket) => this.#opened(client, socket));
    client.on("information", ({ statusCode, rawHeaders }) => {
      if (!this.#over) handler.onInterim(statusCode, endToEnd(rawHeaders));
    });
    client.on("drain", () => {
      if (!this.#over) handler.onDrain();
    });
    client.once("response", (response) => this.#respond(response));
    client.once("upgrade", (_response, socket) => {
      socket.destroy();
      this.#fail("reset", new Error("the server upgraded a connection that nobody asked it to"));
    });
    client.on("error", (error) => this.#broke(client, error));
    client.once("close", () => this.#broke(client, new Error("the server closed before it answered")));
  }

  #opened(client: ClientRequest, { localAddress, localPort }: Socket): void {
    if (this.#over) return;
    const { host: ip, port, cluster } = this.#target;
    this.upstream = { ip, port, localIp: localAddress, localPort, cluster };
    if (this.#request.hasBody) client.flushHeaders();
    else client.end();
    this.#handler.onOpen(this);
  }

  #respond(response: IncomingMessage): void {
    if (this.#over) {
      response.resume();
      return;
    }
    this.#response = response;
    const handler = this.#handler;
    response.on("data", (chunk: Buffer) => {
      if (!this.#over) handler.onData(chunk);
    });
    response.once("end", () => {
      if (this.#over || !response.complete) return;
      this.#over = true;
      handler.onEnd(endToEnd(response.rawTrailers));
    });
    response.on("error", (error) => this.#fail("reset", error));
    response.once("close", () => this.#fail("reset", new Error("the response broke off")));
    const status = response.statusCode ?? 502;
    const { rawHeaders } = response;
    const bodiless = this.#request.method === "HEAD" || status === 204 || status === 304;
    handler.onHead(
      status,
      endToEnd(rawHeaders),
      bodiless || headerOf(endToEnd(rawHeaders), "content-length") === "0",
    );
  }

  /** A kept connection may have been closed in the moment in which it was taken: harmless for what can be done twice. */
  #broke(client: ClientRequest, error: Error): void {
    if (this.#over || this.#response !== undefined || client !== this.#client) return;
    const { method, hasBody } = this.#request;
    if (client.reusedSocket && this.#tries < 3 && !hasBody && IDEMPOTENT.has(method)) this.#begin();
    else this.#fail(error instanceof ConnectError ? "connect" : "reset", error);
  }

  #fail(kind: CallFailure, error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#client?.destroy();
    this.#handler.onFailed(kind, error instanceof Error ? error : new Error(String(error)));
  }
}

/** With the framing of HTTP/1.1, and cookies in one line (RFC 9113 §8.2.3). */
function outgoing({ authority, headers, hasBody }: CallRequest): string[] {
  const out = ["host", authority];
  const cookies: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name === "cookie") cookies.push(headers[at + 1] as string);
    else out.push(name, headers[at + 1] as string);
  }
  if (cookies.length > 0) out.push("cookie", cookies.join("; "));
  const hasLength = headerOf(headers, "content-length") !== undefined;
  if (hasBody && !hasLength) out.push("transfer-encoding", "chunked");
  return out;
}

function inPairs(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as string, flat[at + 1] as string]);
  return pairs;
}
