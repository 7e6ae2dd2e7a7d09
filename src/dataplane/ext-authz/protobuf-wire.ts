/**
 * The wire format of protocol buffers, as far as the few messages of external authorization need it.
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { BulwarkError } from "../../resources/bulwark-error.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Writes one message. Fields of their default value are left out, as proto3 does. */
export class MessageWriter {
  readonly #parts: Buffer[] = [];

  /** @param value a whole number; negative ones take ten bytes. */
  int(field: number, value: number | bigint): this {
    if (value === 0 || value === 0n) return this;
    this.#parts.push(varint(BigInt(field * 8 + VARINT)), varint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  /** As `int`, also for 0: members of a `oneof` say by being there which of them is meant. */
  presentInt(field: number, value: number): this {
    this.#parts.push(varint(BigInt(field * 8 + VARINT)), varint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  /** A double, also when it is 0. */
  double(field: number, value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(varint(BigInt(field * 8 + FIXED64)), bytes);
    return this;
  }

  text(field: number, value: string): this {
    return value === "" ? this : this.bytes(field, Buffer.from(value, "utf8"));
  }

  /** Also when empty. */
  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(varint(BigInt(field * 8 + BYTES)), varint(BigInt(value.length)), Buffer.from(value));
    return this;
  }

  message(field: number, value: MessageWriter): this {
    return this.bytes(field, value.finish());
  }

  /** `map<string, string>`. */
  map(field: number, entries: Iterable<readonly [string, string]>): this {
    for (const [key, value] of entries) this.message(field, new MessageWriter().text(1, key).text(2, value));
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let left = value;
  while (left > 0x7fn) {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  bytes.push(Number(left));
  return Buffer.from(bytes);
}

/** One field as it stands in a message. */
export class MessageField {
  readonly number: number;
  readonly #value: bigint | Buffer;

  constructor(number: number, value: bigint | Buffer) {
    this.number = number;
    this.#value = value;
  }

  /** A varint, signed. @throws {BulwarkError} BW_PROTOBUF */
  get int(): bigint {
    if (typeof this.#value !== "bigint") throw malformed("a number was expected");
    return BigInt.asIntN(64, this.#value);
  }

  /** @throws {BulwarkError} BW_PROTOBUF */
  get bytes(): Buffer {
    if (typeof this.#value === "bigint") throw malformed("bytes were expected");
    return this.#value;
  }

  /** @throws {BulwarkError} BW_PROTOBUF also for what is no UTF-8. */
  get text(): string {
    try {
      return UTF8.decode(this.bytes);
    } catch {
      throw malformed("a text is not UTF-8");
    }
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The fields of a message, in their order; unknown ones too.
 * @throws {BulwarkError} BW_PROTOBUF for what is no message.
 */
export function* readMessage(bytes: Buffer): Generator<MessageField> {
  const cursor = new Cursor(bytes);
  while (!cursor.atEnd) {
    const tag = cursor.varint();
    const number = Number(tag >> 3n);
    if (number < 1 || number > 0x1fffffff) throw malformed("a field's number is out of range");
    const kind = Number(tag & 7n);
    if (kind === VARINT) yield new MessageField(number, cursor.varint());
    else if (kind === BYTES) yield new MessageField(number, cursor.take(Number(cursor.varint())));
    // No message here has fields of these kinds; a newer protocol may.
    else if (kind === FIXED64) cursor.take(8);
    else if (kind === FIXED32) cursor.take(4);
    else throw malformed("a field is of an unknown kind");
  }
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw malformed("it ends within a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed("a number is too long");
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (!(length >= 0) || end > this.#bytes.length) throw malformed("it ends within a field");
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

function malformed(why: string): BulwarkError {
  return new BulwarkError("BW_PROTOBUF", `the message is malformed: ${why}`);
}
