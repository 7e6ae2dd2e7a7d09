import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";

const kept = new WeakMap<ServerHttp2Stream, IncomingHttpHeaders>();

/**
 * To be called when a stream begins: Node tells of trailers once, as they come, and a small request is there whole while it is
 * still being decided, or the connection onwards made. What nobody has listened for is gone.
 */
export function keepTrailers(stream: ServerHttp2Stream): void {
  stream.once("trailers", (trailers) => kept.set(stream, trailers));
}

/** The request's trailers, as far as they have come; all of them once the stream has ended. */
export function keptTrailers(stream: ServerHttp2Stream): IncomingHttpHeaders {
  return kept.get(stream) ?? {};
}
