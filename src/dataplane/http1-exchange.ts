import { BulwarkError } from "../resources/bulwark-error.ts";
import type { ByteStream, StreamHandler } from "./byte-stream.ts";
import { writeRequestHead, writeResponseHead } from "./codec/head-writer.ts";
import { bodyReader } from "./codec/http1-body.ts";
import { BODY_MALFORMED, type BodyReader } from "./codec/http1-body-reader.ts";
import { parseResponseHead, type RequestHead, type ResponseHead } from "./codec/http1-head.ts";
import { findHeadEnd, HEAD_INCOMPLETE } from "./codec/http1-head-end.ts";
import { refusedAt } from "./hbone/refused-at.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { ForwardAction } from "./http-service.ts";
import type { Revocation } from "./recheck.ts";
import type { PooledStream } from "./upstream-pool.ts";

const EMPTY = Buffer.alloc(0);
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** What an exchange asks of the client's connection that it belongs to. */
export interface ExchangeClient {
  /** Sends on what the server's stream has just handed out. @returns false when the client reads too slowly. */
  relay(from: ByteStream, chunk: Buffer, head?: string): boolean;
  writeLatin1(text: string): boolean;
  /** The upstream is ready, or has drained: give it the request's body. */
  pumpBody(): void;
  /** Answer with a status, as nothing has been answered yet. */
  answerFailure(status: number, body: string): void;
  /** The response is complete; `reusable` when the connection may take another request. */
  exchangeEnded(reusable: boolean): void;
  /** The response broke off, or the tunnel ended with an error. */
  abort(): void;
  /** The tunnel's server has finished sending. */
  endWriting(): void;
}

/**
 * One request and its response on an HTTP/1.1 connection: takes a connection to the server, sends the request,
 * relays the response as its bytes come, and records what happened. Handler of the upstream stream while it lasts.
 */
export class Http1Exchange implements StreamHandler {
  readonly #client: ExchangeClient;
  readonly #env: HttpEnvironment;
  readonly #head: RequestHead;
  readonly #action: ForwardAction;
  readonly #startedMs: number;
  readonly #requestBody: BodyReader;
  #upstream: PooledStream | undefined;
  #responseHead: ResponseHead | undefined;
  #responseBody: BodyReader | undefined;
  #pending: Buffer = EMPTY;
  #scanned = 0;
  #attempt = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #ended = false;
  /** The client was told that its connection ends with this response. */
  #closing = false;
  #clientGone = false;

  constructor(
    client: ExchangeClient,
    env: HttpEnvironment,
    head: RequestHead,
    action: ForwardAction,
    startedMs: number,
  ) {
    this.#client = client;
    this.#env = env;
    this.#head = head;
    this.#action = action;
    this.#startedMs = startedMs;
    this.#requestBody = bodyReader(head, env.bodyLimits);
  }

  /** Whether more bytes of the client belong to this request, and there is an upstream to take them. */
  get wantsBody(): boolean {
    return this.#upstream !== undefined && (this.tunnelled || !this.#requestBody.done);
  }

  get requestDone(): boolean {
    return this.#requestBody.done;
  }

  /** After 101: both directions are bytes, no longer HTTP. */
  get tunnelled(): boolean {
    return this.#responseHead?.bodyKind === "tunnel";
  }

  get answered(): boolean {
    return this.#responseHead !== undefined;
  }

  start(): void {
    const next = this.#action.next(this.#attempt);
    this.#attempt += 1;
    if (next instanceof Promise) {
      next.then(
        (target) => this.#open(target, undefined),
        (error: unknown) => this.#fail(503, error instanceof Error ? error : new Error(String(error))),
      );
    } else this.#open(next, undefined);
  }

  /**
   * Takes bytes of the client that follow the head.
   * @returns how many of them belonged to this request; BODY_MALFORMED when they break the framing.
   */
  takeBody(bytes: Buffer): number {
    const upstream = this.#upstream;
    if (upstream === undefined) return 0;
    const taken = this.tunnelled ? bytes.length : this.#requestBody.read(bytes, 0, bytes.length);
    if (taken === BODY_MALFORMED) return BODY_MALFORMED;
    if (taken > 0) {
      this.#bytesSent += taken;
      upstream.stream.write(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    }
    return taken;
  }

  /** Whether the server's side has so much to write that the client should wait. */
  get upstreamFull(): boolean {
    return this.#upstream?.stream.socket.writableNeedDrain === true;
  }

  /** The client has read what was written: go on reading from the server. */
  clientDrained(): void {
    this.#upstream?.stream.resume();
  }

  /** The client will send no more: pass it on in a tunnel. */
  clientEnded(): void {
    if (this.tunnelled) this.#upstream?.stream.end();
    else if (!this.requestDone) this.clientClosed("client-closed");
  }

  /** The client is gone, or broke the rules: give up. */
  clientClosed(reason: string): void {
    this.#clientGone = true;
    if (this.#ended) return;
    const finished = this.tunnelled;
    this.#finish(finished ? "allow" : "error", finished ? undefined : reason);
    this.#upstream?.stream.destroy();
  }

  get head(): RequestHead {
    return this.#head;
  }

  /** A change of policy forbids it: it ends at once, with an answer where none was given yet. */
  revoke({ status, body, ...why }: Revocation): void {
    if (this.#ended) return;
    // A connection to the server that is still being made is for nobody.
    this.#clientGone = true;
    const { answered } = this;
    const { layer, reason, policy, rule, explanation } = why;
    Object.assign(this.#action.flow, { layer, reason, policy, rule, explanation, status });
    this.#env.counters.denied += 1;
    this.#finish("deny", undefined);
    this.#upstream?.stream.destroy();
    if (answered) this.#client.abort();
    else this.#client.answerFailure(status, body);
  }

  /** No answer in time. */
  timeOut(): void {
    if (!this.answered)
      this.#fail(504, new BulwarkError("BW_UPSTREAM_TIMEOUT", "the server did not answer in time"));
    else this.#breakOff("timeout");
  }

  onData(chunk: Buffer): void {
    if (this.#responseHead !== undefined) {
      this.#relayBody(chunk);
      return;
    }
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#readHead();
  }

  onDrain(): void {
    this.#client.pumpBody();
  }

  onEnd(): void {
    if (this.tunnelled) this.#client.endWriting();
    else if (this.#responseBody?.endsWithConnection === true) this.#complete(false);
    else this.#upstream?.stream.destroy();
  }

  onClose(error: Error | undefined): void {
    if (this.#ended) return;
    if (this.#responseBody?.endsWithConnection === true && error === undefined) {
      this.#complete(false);
      return;
    }
    if (this.#responseHead !== undefined) {
      this.#breakOff("upstream-reset");
      return;
    }
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream?.reused === true && this.#replayable) this.#open(upstream.target, upstream);
    else
      this.#fail(
        503,
        error ?? new BulwarkError("BW_UPSTREAM_CLOSED", "the server closed before it answered"),
      );
  }

  /** Nothing of the request can have been acted on twice: it has no body, and doing it twice would be as once. */
  get #replayable(): boolean {
    return this.#pending.length === 0 && this.#head.bodyKind === "none" && IDEMPOTENT.has(this.#head.method);
  }

  /** @param stale a pooled connection that turned out dead: then others from the pool are not trusted either. */
  #open(target: ReturnType<ForwardAction["next"]>, stale: PooledStream | undefined): void {
    if (this.#clientGone) return;
    if (target === undefined || target instanceof Promise) {
      this.#fail(503, new BulwarkError("BW_UPSTREAM_NONE", "no healthy upstream"));
      return;
    }
    const idle = stale === undefined ? this.#env.pool.takeIdle(target, this) : undefined;
    if (idle !== undefined) {
      this.#send(idle);
      return;
    }
    this.#env.pool.connect(target, this, (outcome) => {
      if (outcome instanceof Error) this.#connectFailed(outcome);
      else if (this.#clientGone) outcome.stream.destroy();
      else this.#send(outcome);
    });
  }

  #connectFailed(error: Error): void {
    if (this.#clientGone) return;
    const next = this.#action.next(this.#attempt);
    this.#attempt += 1;
    if (next === undefined) this.#fail(503, error);
    else if (next instanceof Promise)
      void next.then(
        (target) => this.#open(target, undefined),
        () => this.#fail(503, error),
      );
    else this.#open(next, undefined);
  }

  #send(upstream: PooledStream): void {
    this.#upstream = upstream;
    this.#action.flow.upstream = upstream.flowUpstream;
    const text = writeRequestHead(this.#head, this.#action.edit);
    if (this.requestDone) upstream.stream.writeLatin1(text);
    else {
      upstream.stream.cork();
      upstream.stream.writeLatin1(text);
      this.#client.pumpBody();
      upstream.stream.uncork();
    }
  }

  #readHead(): void {
    for (;;) {
      const bytes = this.#pending;
      const end = findHeadEnd(bytes, 0, this.#scanned, this.#env.headLimits.maxHeadBytes);
      if (end === HEAD_INCOMPLETE) {
        this.#scanned = bytes.length;
        // Lent until this returns.
        this.#pending = Buffer.from(bytes);
        return;
      }
      const head = end < 0 ? undefined : parseResponseHead(bytes, 0, end, this.#head, this.#env.headLimits);
      if (head === undefined || head.kind === "refusal") {
        this.#fail(
          502,
          new BulwarkError(
            "BW_UPSTREAM_MALFORMED",
            head?.detail ?? "the server's response head is malformed",
          ),
        );
        return;
      }
      this.#pending = bytes.subarray(end);
      this.#scanned = 0;
      if (!head.interim) {
        this.#respond(head);
        return;
      }
      this.#client.writeLatin1(writeResponseHead(head));
      if (this.#pending.length === 0) return;
    }
  }

  #respond(head: ResponseHead): void {
    const rest = this.#pending;
    this.#pending = EMPTY;
    this.#responseHead = head;
    const reader = bodyReader(head, this.#env.bodyLimits);
    this.#responseBody = reader;
    this.#closing =
      head.bodyKind === "close" || !this.#head.keepAlive || this.#env.draining || !this.requestDone;
    const text = writeResponseHead(head, {
      ...this.#action.responseEdit,
      close: this.#closing && head.bodyKind !== "tunnel",
    });
    const taken = reader.read(rest, 0, rest.length);
    if (taken === BODY_MALFORMED) {
      this.#client.writeLatin1(text);
      this.#breakOff("upstream-malformed");
      return;
    }
    this.#bytesReceived += taken;
    this.#relay(taken === rest.length ? rest : rest.subarray(0, taken), text);
    if (head.bodyKind === "tunnel") this.#client.pumpBody();
    else if (reader.done) this.#complete(taken === rest.length);
  }

  #relayBody(chunk: Buffer): void {
    const reader = this.#responseBody;
    if (reader === undefined || this.#ended) return;
    const taken = reader.read(chunk, 0, chunk.length);
    if (taken === BODY_MALFORMED) {
      this.#breakOff("upstream-malformed");
      return;
    }
    this.#bytesReceived += taken;
    if (taken > 0) this.#relay(taken === chunk.length ? chunk : chunk.subarray(0, taken));
    if (reader.done) this.#complete(taken === chunk.length);
  }

  /** Head and first part of the body in one write: one record, one system call. */
  #relay(chunk: Buffer, head?: string): void {
    const stream = this.#upstream?.stream;
    if (stream !== undefined && !this.#client.relay(stream, chunk, head)) stream.pause();
  }

  /** @param clean nothing came after the response: the connection may serve another. */
  #complete(clean: boolean): void {
    const upstream = this.#upstream;
    const head = this.#responseHead;
    if (upstream !== undefined) {
      if (clean && this.requestDone && head?.keepAlive === true) {
        upstream.stream.resume();
        this.#env.pool.release(upstream);
      } else upstream.stream.destroy();
    }
    this.#finish("allow", undefined);
    // What a client sends behind a tunnel was meant for the tunnel, and is no request.
    this.#client.exchangeEnded(!this.#closing && !this.tunnelled);
  }

  #fail(status: number, error: Error): void {
    if (this.#ended) return;
    const code =
      error instanceof BulwarkError ? error.code : ((error as NodeJS.ErrnoException).code ?? "error");
    this.#action.flow.explanation = [error.message.split("\n", 1)[0] ?? ""];
    this.#action.flow.status = status;
    this.#action.flow.upstream ??= refusedAt(error);
    this.#finish("error", code);
    this.#upstream?.stream.destroy();
    this.#client.answerFailure(status, FAILURES[status] ?? "upstream failure");
  }

  #breakOff(reason: string): void {
    this.#finish("error", reason);
    this.#upstream?.stream.destroy();
    this.#client.abort();
  }

  #finish(verdict: "allow" | "deny" | "error", reason: string | undefined): void {
    this.#ended = true;
    const flow = this.#action.flow;
    flow.verdict = verdict;
    if (reason !== undefined) {
      flow.layer = "upstream";
      flow.reason = reason;
      this.#env.counters.failed += 1;
    }
    if (this.#responseHead !== undefined) flow.status = this.#responseHead.status;
    flow.bytesSent = this.#bytesSent;
    flow.bytesReceived = this.#bytesReceived;
    flow.durationMs = performance.now() - this.#startedMs;
    this.#env.flows.push(flow);
  }
}

const FAILURES: Readonly<Record<number, string>> = {
  502: "the server's answer was malformed",
  503: "no healthy upstream",
  504: "upstream request timeout",
};
