import { bodyReader } from "../codec/http1-body.ts";
import { BODY_MALFORMED, type BodyLimits, type BodyReader } from "../codec/http1-body-reader.ts";
import type { RequestHead } from "../codec/http1-head.ts";
import type { BodySource } from "../http-service.ts";

type Peeked = Awaited<ReturnType<BodySource["peekBody"]>>;

/**
 * Collects the content of an HTTP/1.1 body as its bytes come, up to a limit, and keeps those bytes as they are for whoever
 * sends them on. Linear in what comes, however it is cut.
 */
export class BodyPeek {
  readonly #maxBytes: number;
  readonly #reader: BodyReader;
  readonly #content: ContentCollector;
  readonly #raw = new GrowingBuffer();
  readonly #settled = Promise.withResolvers<Peeked>();
  #done = false;

  constructor(head: RequestHead, limits: BodyLimits, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#reader = bodyReader(head, limits);
    this.#content = new ContentCollector(head.bodyKind === "chunked", maxBytes);
  }

  get outcome(): Promise<Peeked> {
    return this.#settled.promise;
  }

  /** Nothing more is to be read for it. */
  get done(): boolean {
    return this.#done;
  }

  /** Everything taken, as it came. */
  get taken(): Buffer {
    return this.#raw.bytes;
  }

  /** @param bytes lent until this returns. */
  take(bytes: Buffer): void {
    this.#raw.append(bytes);
    if (this.#done) return;
    const end = this.#reader.read(bytes, 0, bytes.length);
    if (end === BODY_MALFORMED) {
      this.#settle("malformed");
      return;
    }
    this.#content.add(bytes.subarray(0, end));
    const partial = this.#content.length > this.#maxBytes;
    if (partial || this.#reader.done) this.#settle({ bytes: this.#content.bytes, partial });
  }

  /** The client will send no more. */
  breakOff(): void {
    if (!this.#done) this.#settle("gone");
  }

  #settle(outcome: Peeked): void {
    this.#done = true;
    this.#settled.resolve(outcome);
  }
}

/** Bytes in one piece: a body that comes octet by octet must not cost an object for each. */
export class GrowingBuffer {
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  append(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2, 1024));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#length);
    this.#length = needed;
  }
}

const LF = 0x0a;
const SEMICOLON = 0x3b;
const CR = 0x0d;

/** Content out of framing that has been checked already. */
class ContentCollector {
  readonly #chunked: boolean;
  readonly #maxBytes: number;
  readonly #content = new GrowingBuffer();
  #length = 0;
  #state: "size" | "size-line" | "data" | "trailers" = "size";
  #size = 0;
  /** Of the CRLF behind a chunk's data. */
  #skip = 0;

  constructor(chunked: boolean, maxBytes: number) {
    this.#chunked = chunked;
    this.#maxBytes = maxBytes;
  }

  /** Octets of content seen: above the limit there is more than `bytes` holds. */
  get length(): number {
    return this.#length;
  }

  get bytes(): Buffer {
    return this.#content.bytes;
  }

  add(bytes: Buffer): void {
    if (!this.#chunked) {
      this.#keep(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; ) at = this.#step(bytes, at);
  }

  #step(bytes: Buffer, at: number): number {
    if (this.#state === "data") return this.#takeData(bytes, at);
    if (this.#skip > 0) {
      this.#skip -= 1;
      return at + 1;
    }
    const byte = bytes[at] as number;
    if (this.#state === "size" && byte !== SEMICOLON && byte !== CR)
      this.#size = this.#size * 16 + Number.parseInt(String.fromCharCode(byte), 16);
    else if (this.#state === "size") this.#state = "size-line";
    else if (this.#state === "size-line" && byte === LF) this.#state = this.#size === 0 ? "trailers" : "data";
    return at + 1;
  }

  #takeData(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#size, bytes.length);
    this.#keep(bytes.subarray(at, end));
    this.#size -= end - at;
    if (this.#size === 0) {
      this.#state = "size";
      this.#skip = 2;
    }
    return end;
  }

  #keep(bytes: Buffer): void {
    const room = Math.max(0, this.#maxBytes - this.#length);
    this.#length += bytes.length;
    if (room > 0) this.#content.append(bytes.subarray(0, room));
  }
}
