import type { ByteStream, StreamHandler } from "./byte-stream.ts";
import { CONTINUE_REPLY, type FieldLines, NO_FIELD_LINES, writeLocalReply } from "./codec/head-writer.ts";
import { BODY_MALFORMED } from "./codec/http1-body-reader.ts";
import { parseRequestHead, type RequestHead } from "./codec/http1-head.ts";
import { findHeadEnd, HEAD_BARE_LF, HEAD_INCOMPLETE } from "./codec/http1-head-end.ts";
import { refuse } from "./codec/http1-refusal.ts";
import type { Bounded } from "./deadlines.ts";
import { BodyPeek } from "./ext-authz/body-peek.ts";
import type { HttpEnvironment } from "./http-environment.ts";
import type { BodySource, HttpAction, HttpService, MutableFlow } from "./http-service.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import type { Rechecked } from "./recheck.ts";
import { type RoutedClient, RoutedHttp1Exchange } from "./routed/http1-downstream.ts";

const EMPTY = Buffer.alloc(0);
/** How long a client that was refused may go on sending, so that the refusal reaches it before a reset does. */
const LINGER_MS = 2000;

/**
 * The client's side of an HTTP/1.1 connection: reads heads, has each decided, and runs one exchange at a time.
 * What is pipelined waits, unread, for its turn.
 */
export class Http1Server implements StreamHandler, Bounded, Rechecked, RoutedClient, BodySource {
  deadlineMs = 0;
  readonly #stream: ByteStream;
  readonly #service: HttpService;
  readonly #env: HttpEnvironment;
  readonly #onClosed: () => void;
  #pending: Buffer = EMPTY;
  #scanned = 0;
  #exchange: Http1Exchange | RoutedHttp1Exchange | undefined;
  /** While deciding: what is being decided, and its body as far as policy wants to see it. */
  #deciding: RequestHead | undefined;
  #peek: BodyPeek | undefined;
  #phase: "head" | "deciding" | "exchange" | "lingering" | "closed" = "head";
  /** While deciding or exchanging: when the route's time is up; 0 = never. */
  #timeoutAtMs = 0;
  #headStartedMs = 0;
  #clientEnded = false;
  #keepAlive = true;
  #headOnly = false;
  /** Policy changed while this request was being decided. */
  #decidedBefore = false;

  constructor(stream: ByteStream, service: HttpService, env: HttpEnvironment, onClosed: () => void) {
    this.#stream = stream;
    this.#service = service;
    this.#env = env;
    this.#onClosed = onClosed;
    stream.handler = this;
    this.deadlineMs = env.deadlines.nowMs + env.limits.idleTimeoutMs;
    env.deadlines.watch(this);
    env.live.add(this);
  }

  onData(chunk: Buffer): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    if (this.#phase === "exchange" && this.#exchange?.wantsBody === true && this.#pending.length === 0) {
      this.#touch();
      this.#takeBody(chunk);
      return;
    }
    if (this.#peek !== undefined) {
      this.#peekAt(this.#peek, chunk);
      return;
    }
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    if (this.#phase === "head") this.#readHead();
    else this.#stream.pause();
  }

  onDrain(): void {
    this.#exchange?.clientDrained();
  }

  onEnd(): void {
    this.#clientEnded = true;
    this.#peek?.breakOff();
    if (this.#exchange !== undefined) this.#exchange.clientEnded();
    else if (this.#phase !== "deciding") this.#stream.end();
  }

  onClose(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#env.deadlines.forget(this);
    this.#env.live.delete(this);
    this.#peek?.breakOff();
    this.#exchange?.clientClosed("client-closed");
    this.#exchange = undefined;
    this.#onClosed();
  }

  onDeadline(): void {
    if (
      this.#phase === "exchange" &&
      this.#timeoutAtMs > 0 &&
      this.#timeoutAtMs <= this.#env.deadlines.nowMs
    ) {
      this.#exchange?.timeOut();
    } else if (this.#phase === "head" && this.#pending.length > 0) {
      this.#refuse(408, "the request head did not arrive in time", "head-timeout");
    } else this.#stream.destroy();
  }

  recheck(): void {
    if (this.#phase === "lingering" || this.#phase === "closed") return;
    const cut = this.#service.recheckConnection?.();
    if (cut !== undefined) {
      this.#exchange?.revoke({ ...cut, status: 403, body: "" });
      this.#record(cut, performance.now());
      this.#stream.destroy();
    } else if (this.#phase === "deciding") this.#decidedBefore = true;
    else if (this.#exchange !== undefined) void this.#recheckExchange(this.#exchange);
  }

  async #recheckExchange(exchange: Http1Exchange | RoutedHttp1Exchange): Promise<void> {
    const revocation = await this.#service.recheckRequest?.(exchange.head);
    if (revocation !== undefined && this.#exchange === exchange) exchange.revoke(revocation);
  }

  /** Closes now if idle, else after the response under way. */
  drain(): void {
    if (this.#phase === "head" && this.#pending.length === 0) this.#stream.end();
  }

  relay(from: ByteStream, chunk: Buffer, head?: string): boolean {
    this.#touch();
    return this.#stream.relay(from, chunk, head);
  }

  writeLatin1(text: string): boolean {
    this.#touch();
    return this.#stream.writeLatin1(text);
  }

  writeBytes(bytes: Buffer): boolean {
    this.#touch();
    return this.#stream.write(bytes);
  }

  pumpBody(): void {
    if (this.#exchange?.wantsBody !== true) return;
    const held = this.#pending;
    this.#pending = EMPTY;
    if (held.length > 0) this.#takeBody(held);
    if (this.#exchange?.wantsBody === true && !this.#exchange.upstreamFull) this.#stream.resume();
  }

  answerFailure(status: number, body: string): void {
    const done = this.#exchange?.requestDone === true;
    this.#exchange = undefined;
    this.#reply(status, NO_FIELD_LINES, body, done && this.#keepAlive);
  }

  exchangeEnded(reusable: boolean): void {
    this.#exchange = undefined;
    if (reusable && !this.#clientEnded && !this.#env.draining) this.#nextRequest();
    else this.#endGently();
  }

  abort(): void {
    this.#exchange = undefined;
    this.#stream.destroy();
  }

  endWriting(): void {
    this.#stream.end();
  }

  #readHead(): void {
    const bytes = this.#pending;
    const end = findHeadEnd(bytes, 0, this.#scanned, this.#env.headLimits.maxHeadBytes);
    if (end === HEAD_INCOMPLETE) {
      this.#awaitHead(bytes);
      return;
    }
    this.#headStartedMs = 0;
    const head =
      end < 0
        ? refuse(end === HEAD_BARE_LF ? "bare-lf" : "head-too-large")
        : parseRequestHead(bytes, 0, end, this.#env.headLimits);
    this.#pending = end < 0 || end === bytes.length ? EMPTY : bytes.subarray(end);
    this.#scanned = 0;
    if (head.kind === "refusal") this.#refuse(head.status, head.detail, head.code);
    else if (head.version === 10) this.#refuse(426, "HTTP/1.0 is not served", "http-1.0");
    else this.#decide(head);
  }

  /** The time for a head counts from its first byte: sending a byte now and then does not extend it. */
  #awaitHead(bytes: Buffer): void {
    this.#scanned = bytes.length;
    const { deadlines, limits } = this.#env;
    if (bytes.length > 0 && this.#headStartedMs === 0) {
      this.#headStartedMs = deadlines.nowMs;
      this.deadlineMs = deadlines.nowMs + limits.headTimeoutMs;
    }
  }

  #decide(head: RequestHead): void {
    this.#phase = "deciding";
    this.#keepAlive = head.keepAlive;
    this.#headOnly = head.method === "HEAD";
    this.#env.counters.requests += 1;
    this.#deciding = head;
    this.#touch();
    const startedMs = performance.now();
    const action = this.#service.decide(head, this);
    if (!(action instanceof Promise)) {
      this.#act(head, action, startedMs);
      return;
    }
    if (this.#peek === undefined || this.#peek.done) this.#stream.pause();
    action.then(
      (decided) => this.#act(head, decided, startedMs),
      (error: unknown) =>
        this.#refuse(500, "the request could not be decided", `undecided: ${String(error)}`),
    );
  }

  peekBody(maxBytes: number): ReturnType<BodySource["peekBody"]> {
    const head = this.#deciding;
    if (head === undefined || head.bodyKind === "none") return Promise.resolve(null);
    // The client may be waiting for leave to send the body that is to be looked at.
    if (head.expectContinue) this.#stream.writeLatin1(CONTINUE_REPLY);
    const peek = new BodyPeek(head, this.#env.bodyLimits, maxBytes);
    this.#peek = peek;
    const held = this.#pending;
    this.#pending = EMPTY;
    this.#peekAt(peek, held);
    if (!peek.done && this.#clientEnded) peek.breakOff();
    if (!peek.done) this.#stream.resume();
    return peek.outcome;
  }

  #peekAt(peek: BodyPeek, bytes: Buffer): void {
    this.#touch();
    peek.take(bytes);
    if (peek.done) this.#stream.pause();
  }

  #act(head: RequestHead, action: HttpAction, startedMs: number): void {
    if (this.#phase === "closed") return;
    if (this.#peek !== undefined) {
      this.#pending = this.#peek.taken;
      this.#peek = undefined;
    }
    if (action.kind === "forward") {
      this.#phase = "exchange";
      this.#timeoutAtMs = action.timeoutMs === 0 ? 0 : this.#env.deadlines.nowMs + action.timeoutMs;
      this.#touch();
      this.#exchange =
        action.routed === undefined || (head.upgrade !== undefined && !action.routed.bridged)
          ? new Http1Exchange(this, this.#env, head, action, startedMs)
          : new RoutedHttp1Exchange(this, this.#env, head, action, action.routed, startedMs);
      this.#exchange.start();
      if (this.#decidedBefore) {
        this.#decidedBefore = false;
        this.recheck();
      }
      return;
    }
    this.#record(action.flow, startedMs);
    if (action.kind === "hang-up") {
      this.#stream.destroy();
      return;
    }
    this.#reply(action.status, action.fields, action.body, head.bodyKind === "none" && head.keepAlive);
  }

  #record(flow: MutableFlow, startedMs: number): void {
    if (flow.verdict === "deny") this.#env.counters.denied += 1;
    flow.durationMs = performance.now() - startedMs;
    this.#env.flows.push(flow);
  }

  #takeBody(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const taken = exchange.takeBody(bytes);
    if (taken === BODY_MALFORMED) {
      exchange.clientClosed("request-body-malformed");
      if (exchange.answered) this.abort();
      else this.answerFailure(400, "the request body is malformed");
      return;
    }
    if (taken < bytes.length) {
      this.#pending = bytes.subarray(taken);
      this.#stream.pause();
    } else if (exchange.upstreamFull) this.#stream.pause();
  }

  #refuse(status: number, detail: string, reason: string): void {
    this.#record(this.#service.malformed(status, reason), performance.now());
    this.#reply(status, NO_FIELD_LINES, detail, false);
  }

  #reply(status: number, fields: FieldLines, body: string, reusable: boolean): void {
    if (this.#phase === "closed") return;
    const keep = reusable && !this.#env.draining && !this.#clientEnded;
    this.#stream.writeLatin1(
      writeLocalReply(status, fields, body, { close: !keep, headOnly: this.#headOnly }),
    );
    if (keep) this.#nextRequest();
    else this.#endGently();
  }

  #nextRequest(): void {
    this.#phase = "head";
    this.#timeoutAtMs = 0;
    this.#touch();
    this.#stream.resume();
    // Not at once: a burst of pipelined requests that are answered here would recurse once for each.
    if (this.#pending.length > 0) queueMicrotask(this.#readPipelined);
  }

  readonly #readPipelined = (): void => {
    if (this.#phase === "head" && this.#pending.length > 0) this.#readHead();
  };

  /** Ends our side and lets the client finish, unread: closing on unread bytes would reset away our last answer. */
  #endGently(): void {
    this.#phase = "lingering";
    this.#pending = EMPTY;
    this.#peek = undefined;
    this.deadlineMs = this.#env.deadlines.nowMs + LINGER_MS;
    this.#stream.end();
    this.#stream.resume();
    if (this.#clientEnded) this.#stream.destroyAfterFlush();
  }

  #touch(): void {
    const idleAtMs = this.#env.deadlines.nowMs + this.#env.limits.idleTimeoutMs;
    this.deadlineMs = this.#timeoutAtMs > 0 && this.#timeoutAtMs < idleAtMs ? this.#timeoutAtMs : idleAtMs;
  }
}
