import { ChunkDecoder } from "../../src/dataplane/codec/chunk-decoder.ts";
import { bodyReader } from "../../src/dataplane/codec/http1-body.ts";
import { BODY_MALFORMED } from "../../src/dataplane/codec/http1-body-reader.ts";
import { HEAD_LIMITS, parseRequestHead, type RequestHead } from "../../src/dataplane/codec/http1-head.ts";
import { findHeadEnd, HEAD_BARE_LF, HEAD_INCOMPLETE } from "../../src/dataplane/codec/http1-head-end.ts";

/** One whole request as our own front reads it. */
export interface ReadRequest {
  readonly head: RequestHead;
  /** The body with its framing. */
  readonly framed: Buffer;
  readonly content: Buffer;
  /** Offset behind it in the connection's bytes. */
  readonly end: number;
}

export interface Reading {
  readonly requests: readonly ReadRequest[];
  /** `refused …`; `open` where more would be read; `tunnel`, `close` where HTTP has ended. */
  readonly state: string;
}

/** Reads a connection's bytes as they arrive, as Http1Server does: heads, then bodies, until something ends it. */
export class FrontReader {
  readonly requests: ReadRequest[] = [];
  state = "open";
  #pending: Buffer = Buffer.alloc(0);
  #scanned = 0;
  #offset = 0;
  #open: { head: RequestHead; body: ReturnType<typeof bodyReader>; parts: Buffer[] } | undefined;

  static read(parts: readonly Buffer[]): Reading {
    const reader = new FrontReader();
    for (const part of parts) reader.push(part);
    return reader;
  }

  push(part: Buffer): void {
    if (this.state !== "open") return;
    this.#pending = Buffer.concat([this.#pending, part]);
    while (this.state === "open" && (this.#open === undefined ? this.#readHead() : this.#readBody()));
  }

  /** @returns whether there may be more to do. */
  #readHead(): boolean {
    const bytes = this.#pending;
    if (bytes.length === 0) return false;
    const end = findHeadEnd(bytes, 0, this.#scanned, HEAD_LIMITS.maxHeadBytes);
    this.#scanned = bytes.length;
    if (end === HEAD_INCOMPLETE) return false;
    if (end < 0) return this.#refuse(end === HEAD_BARE_LF ? "bare-lf" : "head-too-large");
    const head = parseRequestHead(bytes, 0, end, HEAD_LIMITS);
    if (head.kind === "refusal") return this.#refuse(head.code);
    this.#consume(end);
    this.#open = { head, body: bodyReader(head), parts: [] };
    return true;
  }

  #readBody(): boolean {
    const open = this.#open;
    if (open === undefined) return true;
    const { head, body, parts } = open;
    const taken = body.done ? 0 : body.read(this.#pending, 0, this.#pending.length);
    if (taken === BODY_MALFORMED) return this.#refuse(body.refusal?.code ?? "");
    parts.push(Buffer.from(this.#pending.subarray(0, taken)));
    this.#consume(taken);
    if (!body.done) return false;
    const framed = Buffer.concat(parts);
    const content = head.bodyKind === "chunked" ? Buffer.concat(new ChunkDecoder().decode(framed)) : framed;
    this.requests.push({ head, framed, content, end: this.#offset });
    this.#open = undefined;
    if (head.method === "CONNECT" || head.upgrade !== undefined) this.state = "tunnel";
    else if (!head.keepAlive) this.state = "close";
    return true;
  }

  #consume(bytes: number): void {
    this.#pending = this.#pending.subarray(bytes);
    this.#offset += bytes;
    this.#scanned = 0;
  }

  #refuse(code: string): false {
    this.state = `refused ${code}`;
    return false;
  }
}
