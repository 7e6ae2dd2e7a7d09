import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { FlowUpstream } from "../model/flow-record.ts";
import type { HeldBody } from "./ext-authz/stream-peek.ts";
import { grpcAnswer } from "./grpc-answer.ts";
import { refusedAt } from "./hbone/refused-at.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { ForwardAction, RequestView } from "./http-service.ts";
import { editedHeaders, linesToHeaders } from "./http2-headers.ts";
import type { Http2Upstreams, UpstreamSession } from "./http2-upstreams.ts";
import { keptTrailers } from "./kept-trailers.ts";
import type { Revocation } from "./recheck.ts";
import type { UpstreamTarget } from "./upstream-target.ts";

/**
 * Sends one stream on, and settles when both sides are done with it.
 * @param held what of the request's body has been read already.
 * @param onStarted is given what ends it when policy forbids it.
 */
export async function relayStream(
  downstream: ServerHttp2Stream,
  view: RequestView,
  action: ForwardAction,
  env: HttpEnvironment,
  upstreams: Http2Upstreams,
  startedMs: number,
  held: HeldBody | undefined,
  onStarted: (revoke: (revocation: Revocation) => void) => void,
): Promise<void> {
  const relay = new Relay(downstream, view, action, env, startedMs, held);
  onStarted((revocation) => relay.revoke(revocation));
  const opened = await openSession(action, upstreams);
  if (opened instanceof Error) relay.fail(503, opened.message, refusedAt(opened));
  else relay.run(opened.session, opened.target);
}

async function openSession(
  action: ForwardAction,
  upstreams: Http2Upstreams,
): Promise<{ session: UpstreamSession; target: UpstreamTarget } | Error> {
  let failure = new Error("no healthy upstream");
  for (let attempt = 0; ; attempt++) {
    const target = await action.next(attempt);
    if (target === undefined) return failure;
    try {
      return { session: await upstreams.session(target), target };
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
  }
}

class Relay {
  readonly #downstream: ServerHttp2Stream;
  readonly #view: RequestView;
  readonly #action: ForwardAction;
  readonly #env: HttpEnvironment;
  readonly #startedMs: number;
  readonly #held: HeldBody | undefined;
  #upstream: ClientHttp2Stream | undefined;
  #responseTrailers: OutgoingHttpHeaders = {};
  #bytesSent = 0;
  #bytesReceived = 0;
  #status = 0;
  #recorded = false;

  constructor(
    downstream: ServerHttp2Stream,
    view: RequestView,
    action: ForwardAction,
    env: HttpEnvironment,
    startedMs: number,
    held: HeldBody | undefined,
  ) {
    this.#held = held;
    this.#downstream = downstream;
    this.#view = view;
    this.#action = action;
    this.#env = env;
    this.#startedMs = startedMs;
  }

  run({ session, localAddress, localPort }: UpstreamSession, target: UpstreamTarget): void {
    const downstream = this.#downstream;
    if (this.#recorded) return;
    if (downstream.destroyed) {
      this.#record("error", "client-closed");
      return;
    }
    this.#action.flow.upstream = {
      ip: target.host,
      port: target.port,
      localIp: localAddress,
      localPort,
      cluster: target.cluster,
    };
    const bodiless = downstream.endAfterHeaders;
    const upstream = session.request(editedHeaders(this.#view, this.#action.edit), {
      endStream: bodiless,
      waitForTrailers: !bodiless,
    });
    this.#upstream = upstream;
    if (this.#action.timeoutMs > 0) this.#limit(this.#action.timeoutMs);
    this.#relayRequest(upstream);
    this.#relayResponse(upstream);
    upstream.on("error", (error) => this.fail(503, error.message));
    upstream.once("close", () => this.#upstreamClosed());
    downstream.once("close", () => this.#downstreamClosed());
  }

  fail(status: number, message: string, upstream?: FlowUpstream): void {
    this.#action.flow.explanation = [message];
    this.#action.flow.upstream ??= upstream;
    this.#action.flow.status = status;
    this.#record("error", "upstream-failed");
    if (this.#downstream.destroyed) return;
    if (this.#downstream.headersSent) this.#downstream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else this.#answer(status, "");
  }

  #answer(status: number, body: string): void {
    if (this.#action.flow.protocol === "grpc") {
      this.#downstream.respond(grpcAnswer(status, {}, body), { endStream: true });
      return;
    }
    const endStream = this.#view.method === "HEAD";
    this.#downstream.respond({ ":status": status, "content-length": Buffer.byteLength(body) }, { endStream });
    if (!endStream) this.#downstream.end(body);
  }

  #limit(timeoutMs: number): void {
    const timer = setTimeout(() => {
      this.fail(504, "upstream request timeout");
      this.#upstream?.close(constants.NGHTTP2_CANCEL);
    }, timeoutMs);
    this.#downstream.once("close", () => clearTimeout(timer));
  }

  #relayRequest(upstream: ClientHttp2Stream): void {
    const downstream = this.#downstream;
    if (downstream.endAfterHeaders) return;
    upstream.on("wantTrailers", () =>
      this.#attempt(() => upstream.sendTrailers(withoutPseudo(keptTrailers(downstream)))),
    );
    if (this.#held !== undefined) {
      this.#bytesSent += this.#held.bytes.length;
      if (this.#held.ended) {
        upstream.end(this.#held.bytes);
        return;
      }
      upstream.write(this.#held.bytes);
    }
    downstream.on("data", (chunk: Buffer) => {
      this.#bytesSent += chunk.length;
    });
    downstream.pipe(upstream);
  }

  #relayResponse(upstream: ClientHttp2Stream): void {
    const downstream = this.#downstream;
    upstream.on("headers", (headers) => {
      if (!downstream.destroyed && !downstream.headersSent)
        this.#attempt(() => downstream.additionalHeaders(withoutPseudo(headers, true)));
    });
    upstream.once("response", (headers, flags) =>
      this.#attempt(() =>
        this.#respond(upstream, headers, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0),
      ),
    );
    upstream.on("trailers", (trailers: IncomingHttpHeaders) => {
      this.#responseTrailers = withoutPseudo(trailers);
    });
    downstream.on("wantTrailers", () => this.#attempt(() => downstream.sendTrailers(this.#responseTrailers)));
  }

  /**
   * Node throws at heads that HTTP/2 cannot carry, such as a route's `connection`. INVARIANT: in a listener that would
   * end the process.
   */
  #attempt(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#status = 0;
      this.fail(502, error instanceof Error ? error.message : String(error));
      this.#upstream?.close(constants.NGHTTP2_CANCEL);
    }
  }

  /** @param isWhole nothing follows the head: clients of gRPC take a refusal only in one piece (Trailers-Only). */
  #respond(upstream: ClientHttp2Stream, headers: IncomingHttpHeaders, isWhole: boolean): void {
    const downstream = this.#downstream;
    if (downstream.destroyed) return;
    this.#status = Number(headers[":status"]);
    const edit = this.#action.responseEdit;
    const kept = Object.entries(withoutPseudo(headers, true)).filter(
      ([name]) => edit?.remove?.has(name) !== true,
    );
    const out = { ...Object.fromEntries(kept), ...linesToHeaders(edit?.add ?? "") };
    if (isWhole || upstream.readableEnded) {
      downstream.respond(out, { endStream: true });
      // Nobody reads it: without this it never ends, so it never closes and leaves no record.
      upstream.resume();
      return;
    }
    downstream.respond(out, { waitForTrailers: true });
    upstream.on("data", (chunk: Buffer) => {
      this.#bytesReceived += chunk.length;
    });
    upstream.pipe(downstream);
  }

  #upstreamClosed(): void {
    const code = this.#upstream?.rstCode ?? 0;
    if (code === constants.NGHTTP2_NO_ERROR && this.#status > 0) {
      this.#record("allow", undefined);
      return;
    }
    this.#record("error", "upstream-reset");
    if (this.#downstream.destroyed) return;
    if (this.#downstream.headersSent)
      this.#downstream.close(code === 0 ? constants.NGHTTP2_INTERNAL_ERROR : code);
    else this.fail(503, "the server reset the stream before it answered");
  }

  #downstreamClosed(): void {
    const upstream = this.#upstream;
    if (upstream === undefined || upstream.closed) return;
    if (this.#downstream.rstCode === constants.NGHTTP2_NO_ERROR) return;
    this.#record("error", "client-closed");
    upstream.close(constants.NGHTTP2_CANCEL);
  }

  /** A change of policy forbids it: it ends at once, with an answer where none was given yet. */
  revoke({ layer, reason, policy, rule, explanation, status, body }: Revocation): void {
    if (this.#recorded) return;
    Object.assign(this.#action.flow, { layer, reason, policy, rule, explanation, status });
    this.#env.counters.denied += 1;
    this.#record("deny", undefined);
    this.#upstream?.close(constants.NGHTTP2_CANCEL);
    const downstream = this.#downstream;
    if (downstream.destroyed) return;
    if (downstream.headersSent) downstream.close(constants.NGHTTP2_CANCEL);
    else this.#answer(status, body);
  }

  #record(verdict: "allow" | "deny" | "error", reason: string | undefined): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const flow = this.#action.flow;
    flow.verdict = verdict;
    if (reason !== undefined) {
      flow.layer = "upstream";
      flow.reason = reason;
      this.#env.counters.failed += 1;
    }
    if (this.#status > 0) flow.status = this.#status;
    flow.bytesSent = this.#bytesSent;
    flow.bytesReceived = this.#bytesReceived;
    flow.durationMs = performance.now() - this.#startedMs;
    this.#env.flows.push(flow);
  }
}

function withoutPseudo(headers: IncomingHttpHeaders, keepStatus = false): OutgoingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith(":") || (keepStatus && name === ":status")),
  );
}
