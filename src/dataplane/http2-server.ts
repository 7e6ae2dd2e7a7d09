import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { StreamPeek } from "./ext-authz/stream-peek.ts";
import { grpcAnswer } from "./grpc-answer.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { HttpAction, HttpService, RequestView } from "./http-service.ts";
import { linesToHeaders } from "./http2-headers.ts";
import { Http2Idle } from "./http2-idle.ts";
import { Http2Refusals } from "./http2-refusals.ts";
import { relayStream } from "./http2-relay.ts";
import type { Http2Upstreams } from "./http2-upstreams.ts";
import { keepTrailers } from "./kept-trailers.ts";
import type { Rechecked, Revocation } from "./recheck.ts";
import { routeStream } from "./routed/http2-downstream.ts";

/** Headers of HTTP/1.1 connections, which HTTP/2 forbids (RFC 9113 §8.2.2). */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/**
 * The client's side of an HTTP/2 connection. Framing, flow control and its limits are Node's; every stream is decided as
 * a request of HTTP/1.1 is, by the same service, and relayed as HTTP/2, so that gRPC and trailers stay what they are.
 */
export function serveHttp2(
  socket: Socket,
  service: HttpService,
  env: HttpEnvironment,
  upstreams: Http2Upstreams,
  onClosed: () => void,
): ServerHttp2Session {
  // A client that ends its half can neither acknowledge nor widen a window: the connection is over.
  socket.allowHalfOpen = false;
  let refusals: Http2Refusals | undefined;
  Http2Refusals.watchEnd(socket, () => refusals);
  const session = performServerHandshake(socket, {
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    maxHeaderListPairs: env.limits.maxHeaders + 4,
    streamResetBurst: 200,
    streamResetRate: 50,
    settings: {
      maxConcurrentStreams: env.limits.maxStreamsPerConnection,
      maxHeaderListSize: env.limits.maxHeadBytes,
      initialWindowSize: 1 << 20,
      enableConnectProtocol: false,
    },
  });
  const watched = new Http2Refusals(session, env, (reason, explanation) => {
    const flow = service.malformed(0, reason);
    flow.status = undefined;
    flow.explanation = [explanation];
    env.counters.denied += 1;
    env.flows.push(flow);
  });
  refusals = watched;
  session.on("error", (error) => {
    watched.broke(error);
    session.destroy();
  });
  const underway = new Set<UnderwayStream>();
  const live: Rechecked = { recheck: () => recheckSession(session, service, underway, env) };
  env.live.add(live);
  session.once("close", () => {
    env.live.delete(live);
    onClosed();
  });
  new Http2Idle(session, socket, env);
  session.on("stream", (stream, headers, _flags, raw) => {
    watched.began(stream);
    keepTrailers(stream);
    stream.on("error", () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    void answerStream(
      stream,
      headers,
      raw as unknown as readonly string[],
      service,
      env,
      upstreams,
      underway,
    );
  });
  return session;
}

/** A request that is being decided, or relayed: then it can be revoked. */
interface UnderwayStream {
  readonly view: RequestView;
  revoke: ((revocation: Revocation) => void) | undefined;
  /** Policy changed while it was being decided. */
  decidedBefore: boolean;
}

function recheckSession(
  session: ServerHttp2Session,
  service: HttpService,
  underway: ReadonlySet<UnderwayStream>,
  env: HttpEnvironment,
): void {
  const cut = service.recheckConnection?.();
  if (cut === undefined) {
    for (const entry of underway) void recheckStream(entry, service);
    return;
  }
  for (const { revoke } of [...underway]) revoke?.({ ...cut, status: 403, body: "" });
  env.counters.denied += 1;
  env.flows.push(cut);
  session.destroy();
}

async function recheckStream(entry: UnderwayStream, service: HttpService): Promise<void> {
  if (entry.revoke === undefined) {
    entry.decidedBefore = true;
    return;
  }
  const revocation = await service.recheckRequest?.(entry.view);
  if (revocation !== undefined) entry.revoke(revocation);
}

async function answerStream(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  service: HttpService,
  env: HttpEnvironment,
  upstreams: Http2Upstreams,
  underway: Set<UnderwayStream>,
): Promise<void> {
  const startedMs = performance.now();
  env.counters.requests += 1;
  const headOnly = headers[":method"] === "HEAD";
  const view = readView(headers, raw);
  if (typeof view === "string") {
    env.flows.push(service.malformed(400, view));
    respondLocally(stream, headOnly, 400, {}, "");
    return;
  }
  const entry: UnderwayStream = { view, revoke: undefined, decidedBefore: false };
  underway.add(entry);
  stream.once("close", () => underway.delete(entry));
  try {
    const body = new StreamPeek(stream);
    const action = await service.decide(view, body);
    const onStarted = (revoke: (revocation: Revocation) => void): void => {
      entry.revoke = revoke;
      if (entry.decidedBefore) void recheckStream(entry, service);
    };
    if (action.kind === "forward" && action.routed !== undefined)
      routeStream(stream, view, action, action.routed, env, startedMs, body.held, onStarted);
    else if (action.kind === "forward")
      await relayStream(stream, view, action, env, upstreams, startedMs, body.held, onStarted);
    else answerHere(stream, headOnly, action, env, startedMs);
  } catch (error) {
    env.flows.push(service.malformed(500, `undecided: ${String(error)}`));
    respondLocally(stream, headOnly, 500, {}, "");
  }
}

function answerHere(
  stream: ServerHttp2Stream,
  headOnly: boolean,
  action: Exclude<HttpAction, { kind: "forward" }>,
  env: HttpEnvironment,
  startedMs: number,
): void {
  if (action.flow.verdict === "deny") env.counters.denied += 1;
  action.flow.durationMs = performance.now() - startedMs;
  env.flows.push(action.flow);
  if (action.kind === "hang-up") stream.close(constants.NGHTTP2_REFUSED_STREAM);
  else if (action.flow.protocol === "grpc")
    endWithHead(stream, grpcAnswer(action.status, linesToHeaders(action.fields), action.body));
  else respondLocally(stream, headOnly, action.status, linesToHeaders(action.fields), action.body);
}

function endWithHead(stream: ServerHttp2Stream, head: OutgoingHttpHeaders): void {
  if (!stream.destroyed && !stream.headersSent) stream.respond(head, { endStream: true });
}

function respondLocally(
  stream: ServerHttp2Stream,
  headOnly: boolean,
  status: number,
  headers: OutgoingHttpHeaders,
  body: string,
): void {
  if (stream.destroyed || stream.headersSent) return;
  const type = body === "" ? {} : { "content-type": "text/plain" };
  const head = { ":status": status, ...type, ...headers, "content-length": Buffer.byteLength(body) };
  // To HEAD the body may not be sent: writing it breaks the stream, and the answer with it.
  if (headOnly) stream.respond(head, { endStream: true });
  else {
    stream.respond(head);
    stream.end(body);
  }
}

/** The request as policy sees it, or why it is malformed. */
function readView(headers: IncomingHttpHeaders, raw: readonly string[]): RequestView | string {
  const method = headers[":method"];
  const target = headers[":path"];
  const authority = headers[":authority"] ?? headers.host;
  if (method === undefined || authority === undefined) return "pseudo-header-missing";
  if (method === "CONNECT" || headers[":protocol"] !== undefined) return "connect-not-served";
  if (target === undefined || target === "") return "pseudo-header-missing";
  if (
    headers[":authority"] !== undefined &&
    headers.host !== undefined &&
    headers.host !== headers[":authority"]
  ) {
    return "host-mismatch";
  }
  const flat: string[] = ["host", authority];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string;
    if (name.startsWith(":") || name === "host") continue;
    if (CONNECTION_HEADERS.has(name)) return "connection-header";
    flat.push(name, raw[at + 1] as string);
  }
  return { method, target, path: target, authority, headers: flat, upgrade: undefined };
}
