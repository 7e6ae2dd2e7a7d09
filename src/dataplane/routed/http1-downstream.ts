import { http } from "../../resources/node-http.ts";
import { ChunkDecoder } from "../codec/chunk-decoder.ts";
import { fieldLines } from "../codec/head-writer.ts";
import { bodyReader } from "../codec/http1-body.ts";
import { BODY_MALFORMED, type BodyReader } from "../codec/http1-body-reader.ts";
import type { RequestHead } from "../codec/http1-head.ts";
import type { HttpEnvironment } from "../http-environment.ts";
import type { ForwardAction } from "../http-service.ts";
import type { ExchangeClient } from "../http1-exchange.ts";
import type { Revocation } from "../recheck.ts";
import { headerOf } from "./call.ts";
import { type CallDownstream, callRequest, RoutedExchange, type RoutedPlan } from "./routed-exchange.ts";

/** A client's connection, for exchanges that frame their answers themselves. */
export interface RoutedClient extends ExchangeClient {
  writeBytes(bytes: Buffer): boolean;
}

/** A request of an HTTP/1.1 client that takes the long way. For its connection it is an exchange like any other. */
export class RoutedHttp1Exchange implements CallDownstream {
  readonly tunnelled = false;
  readonly #client: RoutedClient;
  readonly #env: HttpEnvironment;
  readonly #head: RequestHead;
  readonly #exchange: RoutedExchange;
  readonly #body: BodyReader;
  readonly #chunks: ChunkDecoder | undefined;
  #full = false;
  #chunked = false;
  #closing = false;

  constructor(
    client: RoutedClient,
    env: HttpEnvironment,
    head: RequestHead,
    action: ForwardAction,
    plan: RoutedPlan,
    startedMs: number,
  ) {
    this.#client = client;
    this.#env = env;
    this.#head = head;
    this.#body = bodyReader(head, env.bodyLimits);
    this.#chunks = head.bodyKind === "chunked" ? new ChunkDecoder() : undefined;
    const request = callRequest(head, head.path, action.edit, head.bodyKind !== "none");
    this.#exchange = new RoutedExchange(this, request, action, plan, env, startedMs);
  }

  get head(): RequestHead {
    return this.#head;
  }

  revoke(revocation: Revocation): void {
    this.#exchange.revoke(revocation);
  }

  get wantsBody(): boolean {
    return this.#exchange.open && !this.#body.done;
  }

  get requestDone(): boolean {
    return this.#body.done;
  }

  get answered(): boolean {
    return this.#exchange.answered;
  }

  get upstreamFull(): boolean {
    return this.#full;
  }

  start(): void {
    this.#exchange.start();
  }

  takeBody(bytes: Buffer): number {
    const taken = this.#body.read(bytes, 0, bytes.length);
    if (taken === BODY_MALFORMED) return BODY_MALFORMED;
    const own = bytes.subarray(0, taken);
    for (const chunk of this.#chunks?.decode(own) ?? [own])
      if (chunk.length > 0 && !this.#exchange.takeData(chunk)) this.#full = true;
    if (this.#body.done) this.#exchange.endRequest(this.#chunks?.trailers ?? []);
    return taken;
  }

  clientDrained(): void {
    this.#exchange.resume();
  }

  clientEnded(): void {
    if (!this.requestDone) this.#exchange.cancel("client-closed");
  }

  clientClosed(reason: string): void {
    this.#exchange.cancel(reason);
  }

  timeOut(): void {
    this.#exchange.timeOut();
  }

  wantMore(): void {
    this.#full = false;
    this.#client.pumpBody();
  }

  interim(status: number, headers: readonly string[]): void {
    const lines = fieldLines(...headers);
    if (lines !== undefined)
      this.#client.writeLatin1(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ""}\r\n${lines}\r\n`);
  }

  respond(status: number, headers: readonly string[], ended: boolean): void {
    const lines = fieldLines(...headers);
    if (lines === undefined) throw new Error("the server's answer has a header that cannot be written");
    const bodiless = this.#head.method === "HEAD" || status === 204 || status === 304;
    const hasLength = headerOf(headers, "content-length") !== undefined;
    this.#chunked = !bodiless && !hasLength && !ended;
    this.#closing = !this.#head.keepAlive || this.#env.draining || !this.requestDone;
    const framing = this.#chunked
      ? "transfer-encoding: chunked\r\n"
      : bodiless || hasLength
        ? ""
        : "content-length: 0\r\n";
    const close = this.#closing ? "connection: close\r\n" : "";
    this.#client.writeLatin1(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ""}\r\n${lines}${framing}${close}\r\n`,
    );
  }

  write(chunk: Buffer): boolean {
    if (chunk.length === 0) return true;
    if (!this.#chunked) return this.#client.writeBytes(chunk);
    this.#client.writeLatin1(`${chunk.length.toString(16)}\r\n`);
    this.#client.writeBytes(chunk);
    return this.#client.writeLatin1("\r\n");
  }

  end(trailers: readonly string[]): void {
    if (this.#chunked) this.#client.writeLatin1(`0\r\n${fieldLines(...trailers) ?? ""}\r\n`);
    this.#client.exchangeEnded(!this.#closing);
  }

  fail(status: number, text: string): void {
    this.#client.answerFailure(status, text);
  }

  abort(): void {
    this.#client.abort();
  }
}
