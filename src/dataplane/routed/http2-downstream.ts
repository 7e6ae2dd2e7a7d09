import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { HeldBody } from "../ext-authz/stream-peek.ts";
import type { HttpEnvironment } from "../http-environment.ts";
import type { ForwardAction, RequestView } from "../http-service.ts";
import { keptTrailers } from "../kept-trailers.ts";
import type { Revocation } from "../recheck.ts";
import { endToEnd } from "./call.ts";
import { asObject } from "./http2-call.ts";
import { type CallDownstream, callRequest, RoutedExchange, type RoutedPlan } from "./routed-exchange.ts";

/** Carries out a stream that takes the long way. */
export function routeStream(
  stream: ServerHttp2Stream,
  view: RequestView,
  action: ForwardAction,
  plan: RoutedPlan,
  env: HttpEnvironment,
  startedMs: number,
  held: HeldBody | undefined,
  onStarted: (revoke: (revocation: Revocation) => void) => void,
): void {
  const routed = new RoutedHttp2Stream(stream, view, action, plan, env, startedMs);
  onStarted((revocation) => routed.revoke(revocation));
  routed.start(held);
}

class RoutedHttp2Stream implements CallDownstream {
  readonly #stream: ServerHttp2Stream;
  readonly #exchange: RoutedExchange;
  readonly #timeoutMs: number;
  #trailers: readonly string[] = [];
  #ended = false;

  constructor(
    stream: ServerHttp2Stream,
    view: RequestView,
    action: ForwardAction,
    plan: RoutedPlan,
    env: HttpEnvironment,
    startedMs: number,
  ) {
    this.#stream = stream;
    this.#timeoutMs = action.timeoutMs;
    const request = callRequest(view, view.target, action.edit, !stream.endAfterHeaders);
    this.#exchange = new RoutedExchange(this, request, action, plan, env, startedMs);
  }

  revoke(revocation: Revocation): void {
    this.#exchange.revoke(revocation);
  }

  start(held: HeldBody | undefined): void {
    const stream = this.#stream;
    const exchange = this.#exchange;
    if (stream.destroyed) {
      exchange.cancel("client-closed");
      return;
    }
    if (this.#timeoutMs > 0) this.#limit(this.#timeoutMs);
    stream.on("wantTrailers", () => this.#sendTrailers());
    stream.on("drain", () => exchange.resume());
    stream.once("close", () => {
      if (!this.#ended) exchange.cancel("client-closed");
    });
    exchange.start();
    if (held !== undefined) {
      exchange.takeData(held.bytes);
      if (held.ended) {
        exchange.endRequest(flat(keptTrailers(stream)));
        return;
      }
    }
    if (!stream.endAfterHeaders) this.#read(stream);
  }

  #read(stream: ServerHttp2Stream): void {
    // A body without a byte is at its end before anybody reads it, and Node tells so once.
    if (stream.readableEnded) {
      this.#exchange.endRequest(flat(keptTrailers(stream)));
      return;
    }
    stream.on("data", (chunk: Buffer) => {
      if (!this.#exchange.takeData(chunk)) stream.pause();
    });
    stream.once("end", () => this.#exchange.endRequest(flat(keptTrailers(stream))));
  }

  #limit(timeoutMs: number): void {
    const timer = setTimeout(() => this.#exchange.timeOut(), timeoutMs);
    this.#stream.once("close", () => clearTimeout(timer));
  }

  wantMore(): void {
    this.#stream.resume();
  }

  interim(status: number, headers: readonly string[]): void {
    if (this.#stream.destroyed || this.#stream.headersSent) return;
    try {
      this.#stream.additionalHeaders({ ":status": status, ...asObject(headers) });
    } catch {
      // What cannot be carried over is no part of the answer.
    }
  }

  respond(status: number, headers: readonly string[], ended: boolean): void {
    if (this.#stream.destroyed) return;
    const out = { ":status": status, ...asObject(headers) };
    this.#stream.respond(out, ended ? { endStream: true } : { waitForTrailers: true });
    this.#ended = ended;
  }

  write(chunk: Buffer): boolean {
    return this.#stream.destroyed || this.#stream.writableEnded || this.#stream.write(chunk);
  }

  end(trailers: readonly string[]): void {
    this.#ended = true;
    this.#trailers = trailers;
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
  }

  fail(status: number): void {
    this.#ended = true;
    if (this.#stream.destroyed) return;
    if (this.#stream.headersSent) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else {
      this.#stream.respond({ ":status": status, "content-length": 0 });
      this.#stream.end();
    }
  }

  abort(): void {
    this.#ended = true;
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(asObject(this.#trailers));
    } catch {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }
}

function flat(headers: IncomingHttpHeaders): readonly string[] {
  const list = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().flatMap((one) => [name, String(one)]),
  );
  return endToEnd(list);
}
