import { readHelloBody } from "./client-hello-body.ts";

/** What a ClientHello says that routing and policy may use. */
export interface ClientHello {
  readonly kind: "hello";
  /** SNI host name, lower case, letters/digits/hyphens only; absent when the client sent none. */
  readonly serverName?: string;
  /** ALPN protocol ids in the client's order, latin1. */
  readonly alpn: readonly string[];
  /** The outer hello of Encrypted Client Hello: `serverName` is then the public name (or the extension is GREASE). */
  readonly hasEncryptedClientHello: boolean;
  /** Values of supported_versions (0x0304 = TLS 1.3), GREASE included; empty when the extension is absent. */
  readonly supportedVersions: readonly number[];
}

export type ClientHelloInvalidReason =
  | "record-empty"
  | "record-too-large"
  | "record-not-handshake"
  | "handshake-not-client-hello"
  | "hello-too-large"
  | "input-too-large"
  | "hello-truncated"
  | "trailing-bytes"
  | "bad-length"
  | "duplicate-extension"
  | "several-server-names"
  | "server-name-type"
  | "server-name-invalid"
  | "alpn-invalid"
  | "supported-versions-invalid";

export interface ClientHelloInvalid {
  readonly kind: "invalid";
  readonly reason: ClientHelloInvalidReason;
}

export type ClientHelloResult =
  | { readonly kind: "need-more" }
  | ClientHello
  | { readonly kind: "not-tls" }
  | ClientHelloInvalid;

export interface ClientHelloLimits {
  /** Longest ClientHello message accepted, bytes. */
  readonly maxHelloBytes: number;
  /** Most bytes taken from the connection before the hello is complete: one-byte records cost six bytes each. */
  readonly maxInputBytes: number;
}

/** Post-quantum hellos are near 2 KiB, ECH adds some hundred bytes: 16 KiB leaves room. */
export const CLIENT_HELLO_LIMITS: ClientHelloLimits = { maxHelloBytes: 16 * 1024, maxInputBytes: 64 * 1024 };

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
const MAX_RECORD_BYTES = 1 << 14;
const CONTENT_HANDSHAKE = 0x16;
const TYPE_CLIENT_HELLO = 1;
const NEED_MORE: ClientHelloResult = { kind: "need-more" };
const NOT_TLS: ClientHelloResult = { kind: "not-tls" };

/**
 * Reads the first handshake message of a TLS connection from the bytes as they arrive, however it is cut into packets
 * and records. Each byte is looked at once, so that one-byte packets cost linear time.
 * The reader keeps no bytes for replay: the caller holds what it must forward.
 * @see RFC 8446 §4.1.2, §5.1; RFC 6066 §3; RFC 7301 §3.1
 */
export class ClientHelloReader {
  readonly #limits: ClientHelloLimits;
  #result: ClientHelloResult = NEED_MORE;
  /** Bytes of the records announced so far, headers included: independent of how packets cut them. */
  #inputBytes = 0;
  /** Bytes of the present record's header seen so far, and its length once all five are. */
  #headerBytes = 0;
  #recordBytes = 0;
  #message: Buffer = Buffer.alloc(0);
  #messageBytes = 0;

  constructor(limits: ClientHelloLimits = CLIENT_HELLO_LIMITS) {
    this.#limits = limits;
  }

  /** Takes the next bytes of the connection. After any answer but "need-more" the answer stays and bytes are ignored. */
  push(chunk: Buffer): ClientHelloResult {
    let at = 0;
    while (this.#result === NEED_MORE && at < chunk.length) {
      at =
        this.#headerBytes < RECORD_HEADER_BYTES ? this.#readHeader(chunk, at) : this.#readFragment(chunk, at);
    }
    return this.#result;
  }

  #readHeader(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    const index = this.#headerBytes++;
    // Legacy record versions 3.0 to 3.4; the minor one is otherwise ignored (RFC 8446 §5.1).
    const sound =
      index === 0 ? byte === CONTENT_HANDSHAKE : index === 1 ? byte === 3 : index !== 2 || byte <= 4;
    // The first record's header decides whether this is TLS at all; a later record that is no handshake is an attack.
    if (!sound) this.#result = this.#messageBytes === 0 ? NOT_TLS : invalid("record-not-handshake");
    else if (index === 3) this.#recordBytes = byte << 8;
    else if (index === 4) this.#result = this.#endHeader(byte);
    return at + 1;
  }

  #endHeader(lowLengthByte: number): ClientHelloResult {
    this.#recordBytes |= lowLengthByte;
    this.#inputBytes += RECORD_HEADER_BYTES + this.#recordBytes;
    if (this.#recordBytes === 0) return invalid("record-empty");
    if (this.#recordBytes > MAX_RECORD_BYTES) return invalid("record-too-large");
    return this.#inputBytes > this.#limits.maxInputBytes ? invalid("input-too-large") : NEED_MORE;
  }

  #readFragment(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#recordBytes);
    this.#recordBytes -= end - at;
    this.#append(chunk, at, end);
    this.#result = this.#judge();
    if (this.#recordBytes === 0) this.#headerBytes = 0;
    return end;
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#messageBytes + end - start;
    if (needed > this.#message.length) {
      // Doubling keeps the copying linear; the limit check in #judge runs before a second record can grow it further.
      const grown = Buffer.alloc(Math.max(needed, this.#message.length * 2));
      this.#message.copy(grown, 0, 0, this.#messageBytes);
      this.#message = grown;
    }
    chunk.copy(this.#message, this.#messageBytes, start, end);
    this.#messageBytes = needed;
  }

  #judge(): ClientHelloResult {
    const message = this.#message;
    if (message[0] !== TYPE_CLIENT_HELLO) return invalid("handshake-not-client-hello");
    if (this.#messageBytes < HANDSHAKE_HEADER_BYTES) return NEED_MORE;
    const end = HANDSHAKE_HEADER_BYTES + message.readUIntBE(1, 3);
    if (end > this.#limits.maxHelloBytes) return invalid("hello-too-large");
    if (this.#messageBytes < end) return NEED_MORE;
    // INVARIANT: nothing may share the hello's record (RFC 8446 §5.1), whether it has arrived yet or not.
    if (this.#messageBytes + this.#recordBytes > end) return invalid("trailing-bytes");
    return readHelloBody(message.subarray(HANDSHAKE_HEADER_BYTES, end));
  }
}

function invalid(reason: ClientHelloInvalidReason): ClientHelloInvalid {
  return { kind: "invalid", reason };
}
