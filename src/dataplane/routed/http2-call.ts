import { type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from "node:http2";
import type { FlowUpstream } from "../../model/flow-record.ts";
import type { Http2Upstreams, UpstreamSession } from "../http2-upstreams.ts";
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

/** A call as one stream of an HTTP/2 session. */
export class Http2Call implements PendingCall, UpstreamCall {
  upstream: FlowUpstream = {};
  readonly #target: UpstreamTarget;
  readonly #request: CallRequest;
  readonly #handler: CallHandler;
  #stream: ClientHttp2Stream | undefined;
  #requestTrailers: readonly string[] = [];
  #trailers: readonly string[] = [];
  #over = false;

  constructor(target: UpstreamTarget, request: CallRequest, handler: CallHandler, sessions: Http2Upstreams) {
    this.#target = target;
    this.#request = request;
    this.#handler = handler;
    sessions.session(target).then(
      (session) => this.#begin(session),
      (error: unknown) => this.#fail("connect", error),
    );
  }

  abort(): void {
    this.#over = true;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  write(chunk: Buffer): boolean {
    return this.#stream?.write(chunk) === true;
  }

  end(trailers: readonly string[]): void {
    this.#requestTrailers = trailers;
    this.#stream?.end();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  #begin({ session, localAddress, localPort }: UpstreamSession): void {
    if (this.#over) return;
    const { host: ip, port, cluster } = this.#target;
    this.upstream = { ip, port, localIp: localAddress, localPort, cluster };
    const { hasBody } = this.#request;
    try {
      const stream = session.request(outgoing(this.#request), {
        endStream: !hasBody,
        waitForTrailers: hasBody,
      });
      this.#stream = stream;
      this.#listen(stream);
    } catch (error) {
      this.#fail("reset", error);
      return;
    }
    this.#handler.onOpen(this);
  }

  #listen(stream: ClientHttp2Stream): void {
    const handler = this.#handler;
    stream.on("headers", (headers, _flags, raw) => {
      if (!this.#over) handler.onInterim(Number(headers[":status"]), endToEnd(raw as unknown as string[]));
    });
    stream.once("response", (headers, flags, raw) => {
      const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (!this.#over)
        handler.onHead(Number(headers[":status"]), endToEnd(raw as unknown as string[]), ended);
    });
    stream.on("trailers", (_headers, _flags, raw) => {
      this.#trailers = endToEnd(raw as unknown as string[]);
    });
    stream.on("data", (chunk: Buffer) => {
      if (!this.#over) handler.onData(chunk);
    });
    stream.on("drain", () => {
      if (!this.#over) handler.onDrain();
    });
    stream.on("wantTrailers", () => this.#sendTrailers(stream));
    stream.on("error", (error: Error) => this.#broke(error));
    stream.once("end", () => this.#ended());
    stream.once("close", () => this.#broke(new Error("the server reset the stream")));
  }

  #sendTrailers(stream: ClientHttp2Stream): void {
    try {
      stream.sendTrailers(asObject(this.#requestTrailers));
    } catch (error) {
      this.#fail("reset", error);
      stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  #ended(): void {
    // A stream that was reset also ends; what it had sent is not the whole.
    if (this.#over || (this.#stream?.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR) return;
    this.#over = true;
    this.#handler.onEnd(this.#trailers);
  }

  #broke(error: Error): void {
    const refused = this.#stream?.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    this.#fail(refused ? "refused-stream" : "reset", error);
  }

  #fail(kind: CallFailure, error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#handler.onFailed(kind, error instanceof Error ? error : new Error(String(error)));
  }
}

function outgoing({ method, path, authority, headers }: CallRequest): OutgoingHttpHeaders {
  return {
    ":method": method,
    ":path": path,
    ":authority": authority,
    ":scheme": "http",
    ...asObject(headers),
    // Without it servers of gRPC refuse, and others leave trailers out.
    ...(headerOf(headers, "content-type")?.startsWith("application/grpc") === true ? { te: "trailers" } : {}),
  };
}

/** As Node's HTTP/2 takes them. */
export function asObject(headers: readonly string[]): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    const before = out[name];
    out[name] = before === undefined ? value : [...[before].flat(), value];
  }
  return out;
}
