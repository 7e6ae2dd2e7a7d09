import type { Duplex } from "node:stream";
import { BulwarkError, type BulwarkErrorCode } from "../resources/bulwark-error.ts";
import { LineSplitter } from "./line-splitter.ts";
import { operationalCode } from "./operational-error.ts";

export interface RpcLimits {
  /** One message, bytes without its newline. A longer one ends the connection. */
  readonly maxMessageBytes: number;
  /** Requests of the other side in work at one time; more wait in the kernel (the stream is paused). */
  readonly maxConcurrentRequests: number;
  /** Bytes that the other side has not taken yet; more end the connection, so that a stuck reader costs no memory. */
  readonly maxQueuedBytes: number;
}

export const DEFAULT_RPC_LIMITS: RpcLimits = {
  maxMessageBytes: 64 * 1024 * 1024,
  maxConcurrentRequests: 64,
  maxQueuedBytes: 128 * 1024 * 1024,
};

/** Answers a request, or takes a notification (whose result is dropped). A BulwarkError reaches the caller with its code. */
export type RpcHandler = (params: unknown) => unknown;

export interface RpcPeerOptions {
  readonly handlers?: Readonly<Record<string, RpcHandler>>;
  readonly limits?: Partial<RpcLimits>;
  /** Bugs in handlers: the caller is told only that the request failed. */
  readonly onInternalError?: (error: unknown) => void;
}

interface Pending {
  readonly method: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: BulwarkError) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

type Json = Record<string, unknown>;

/** How long a peer that sent nonsense is given to read why it is cut off. */
const LAST_WORDS_MS = 200;
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const METHOD_NOT_FOUND = -32_601;
const APPLICATION_ERROR = -32_000;

/**
 * One end of a connection that carries JSON-RPC 2.0, one message a line, in both directions at once.
 * Nothing that the other end sends can throw here: what is not a message is answered with an error and ends the connection,
 * since after it the framing cannot be trusted. Batches are not taken.
 * @see https://www.jsonrpc.org/specification
 */
export class RpcPeer {
  readonly #stream: Duplex;
  readonly #limits: RpcLimits;
  readonly #onInternalError: (error: unknown) => void;
  readonly #pending = new Map<number, Pending>();
  readonly #handlers = new Map<string, RpcHandler>();
  readonly #closed = Promise.withResolvers<void>();
  #nextId = 1;
  #inWork = 0;
  #open = true;

  constructor(stream: Duplex, options: RpcPeerOptions = {}) {
    this.#stream = stream;
    this.#limits = { ...DEFAULT_RPC_LIMITS, ...options.limits };
    this.#onInternalError = options.onInternalError ?? (() => {});
    this.setHandlers(options.handlers ?? {});
    const splitter = new LineSplitter(this.#limits.maxMessageBytes);
    stream.on("data", (chunk: Buffer) => this.#feed(splitter, chunk));
    stream.on("error", () => this.close());
    stream.on("close", () => this.close());
    stream.on("end", () => this.close());
  }

  /** Settles when the connection has ended, whoever ended it. Never rejects. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Replaces what may be asked: a peer that has shown who it is may ask more. */
  setHandlers(handlers: Readonly<Record<string, RpcHandler>>): void {
    this.#handlers.clear();
    for (const [method, handler] of Object.entries(handlers)) this.#handlers.set(method, handler);
  }

  /**
   * Asks and waits for the answer.
   * @throws {BulwarkError} the other side's own code; BW_RPC_CLOSED when the connection ended first; BW_RPC_TIMEOUT.
   */
  request(method: string, params: unknown, timeoutMs = 0): Promise<unknown> {
    return this.requestJson(method, JSON.stringify(params) ?? "null", timeoutMs);
  }

  /** The same with parameters that are JSON already, so that a large text is not escaped and quoted a second time. */
  requestJson(method: string, paramsJson: string, timeoutMs = 0): Promise<unknown> {
    if (!this.#open) return Promise.reject(connectionClosed(method));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = timeoutMs > 0 ? setTimeout(() => this.#expire(id, method), timeoutMs) : undefined;
      this.#pending.set(id, { method, resolve, reject, timer });
      this.#write(`{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":${paramsJson}}`);
    });
  }

  notify(method: string, params: unknown): void {
    if (this.#open) this.#send({ jsonrpc: "2.0", method, params });
  }

  close(): void {
    this.#shut();
    this.#stream.destroy();
  }

  #shut(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(connectionClosed(pending.method));
    }
    this.#pending.clear();
    this.#closed.resolve();
  }

  #feed(splitter: LineSplitter, chunk: Buffer): void {
    for (const line of splitter.push(chunk)) if (this.#open) this.#receive(line);
    if (splitter.overflowed && this.#open) this.#refuse(INVALID_REQUEST, "message too long");
  }

  #receive(line: string): void {
    const message = parseMessage(line);
    if (message === undefined) this.#refuse(PARSE_ERROR, "not a JSON-RPC message");
    else if (typeof message.method === "string") void this.#answer(message.method, message);
    else if (typeof message.id === "number" && ("result" in message || "error" in message))
      this.#settle(message.id, message);
    else this.#refuse(INVALID_REQUEST, "neither a request nor a response");
  }

  #refuse(code: number, message: string): void {
    this.#send({ jsonrpc: "2.0", id: null, error: { code, message } });
    this.#shut();
    this.#stream.end();
    setTimeout(() => this.#stream.destroy(), LAST_WORDS_MS).unref();
  }

  async #answer(method: string, message: Json): Promise<void> {
    const { id, params } = message;
    const respond = (body: Json) => {
      if (id !== undefined && this.#open) this.#send({ jsonrpc: "2.0", id, ...body });
    };
    const handler = this.#handlers.get(method);
    if (handler === undefined) {
      return respond({
        error: { code: METHOD_NOT_FOUND, message: `no method \`${method.slice(0, 64)}\` here` },
      });
    }
    if (++this.#inWork >= this.#limits.maxConcurrentRequests) this.#stream.pause();
    try {
      respond({ result: (await handler(params)) ?? null });
    } catch (error) {
      respond({ error: this.#errorBody(error) });
    } finally {
      if (--this.#inWork < this.#limits.maxConcurrentRequests && this.#open) this.#stream.resume();
    }
  }

  #errorBody(error: unknown): Json {
    const code = operationalCode(error);
    if (code !== undefined && error instanceof Error)
      return { code: APPLICATION_ERROR, message: error.message, data: { code } };
    this.#onInternalError(error);
    return { code: APPLICATION_ERROR, message: "internal error", data: { code: "BW_INTERNAL" } };
  }

  #settle(id: number, message: Json): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if ("error" in message) pending.reject(remoteError(message.error));
    else pending.resolve(message.result);
  }

  #expire(id: number, method: string): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.reject(new BulwarkError("BW_RPC_TIMEOUT", `no answer to \`${method}\` in time`));
  }

  #send(message: Json): void {
    this.#write(JSON.stringify(message));
  }

  /** @param line INVARIANT: JSON without a newline. */
  #write(line: string): void {
    this.#stream.write(`${line}\n`);
    if (this.#stream.writableLength > this.#limits.maxQueuedBytes) this.close();
  }
}

function parseMessage(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

const CODE = /^BW_[A-Z0-9_]{1,60}$/;

function remoteError(body: unknown): BulwarkError {
  const { message, data } = (typeof body === "object" && body !== null ? body : {}) as Json;
  const named = (typeof data === "object" && data !== null ? (data as Json).code : undefined) ?? "";
  const code = typeof named === "string" && CODE.test(named) ? (named as BulwarkErrorCode) : "BW_RPC_REFUSED";
  return new BulwarkError(code, typeof message === "string" ? message : "the request was refused");
}

function connectionClosed(method: string): BulwarkError {
  return new BulwarkError("BW_RPC_CLOSED", `the connection ended before \`${method}\` was answered`);
}
