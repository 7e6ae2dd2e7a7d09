/** Thrown by {@link DerReader} on bytes that are not strict DER. Never leaves this room: every parser turns it into its own refusal. */
export class DerError extends Error {}

export interface DerElement {
  readonly tag: number;
  /** Offset of the first byte of the header. */
  readonly start: number;
  /** Offset of the first byte of the content. */
  readonly contentStart: number;
  /** Offset past the last byte of the content. */
  readonly end: number;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a constructed, context-specific element, `[n]`. */
export function contextTag(n: number): number {
  return 0xa0 | n;
}

/**
 * A cursor over one level of a DER structure. Every read checks its bounds against the enclosing element, so no
 * length that the bytes claim can reach outside of it, and reading only ever moves forward.
 * @see ITU-T X.690 §8, §10
 */
export class DerReader {
  readonly #der: Buffer;
  readonly #end: number;
  #at: number;

  constructor(der: Buffer, start = 0, end: number = der.length) {
    this.#der = der;
    this.#at = start;
    this.#end = end;
  }

  /** True when nothing is left on this level. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** The tag of the next element; -1 at the end. */
  get nextTag(): number {
    return this.done ? -1 : this.#byte(this.#at);
  }

  /** Moves past the next element, which must have this tag when one is given. */
  element(expectedTag?: number): DerElement {
    const start = this.#at;
    const tag = this.#byte(start);
    if (expectedTag !== undefined && tag !== expectedTag)
      throw new DerError(`tag ${tag} where ${expectedTag} belongs`);
    if ((tag & 0x1f) === 0x1f) throw new DerError("tag of several bytes");
    const first = this.#byte(start + 1);
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    const contentStart = start + 2 + lengthBytes;
    const end = contentStart + (first < 0x80 ? first : this.#longLength(start + 2, lengthBytes));
    if (end > this.#end) throw new DerError("element reaches past its container");
    this.#at = end;
    return { tag, start, contentStart, end };
  }

  /** A reader over the content of the next element. */
  within(tag: number): DerReader {
    const { contentStart, end } = this.element(tag);
    return new DerReader(this.#der, contentStart, end);
  }

  /** The content of the next element, as a view. */
  content(tag: number): Buffer {
    const { contentStart, end } = this.element(tag);
    return this.#der.subarray(contentStart, end);
  }

  /** The next element whole, header included, as a view. */
  whole(tag: number): Buffer {
    const { start, end } = this.element(tag);
    return this.#der.subarray(start, end);
  }

  /** The content of an INTEGER, checked to be in its one shortest form. */
  integer(): Buffer {
    const bytes = this.content(TAG.integer);
    const first = bytes[0];
    const second = bytes[1];
    if (first === undefined) throw new DerError("empty INTEGER");
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      throw new DerError("INTEGER with superfluous leading bytes");
    }
    return bytes;
  }

  /** A BOOLEAN; DER has only 0x00 and 0xff. */
  boolean(): boolean {
    const bytes = this.content(TAG.boolean);
    if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff))
      throw new DerError("BOOLEAN that is neither");
    return bytes[0] === 0xff;
  }

  /** The content of an OBJECT IDENTIFIER as lower-case hexadecimal, which is what this room compares. */
  oid(): string {
    return this.content(TAG.oid).toString("hex");
  }

  /** The bytes of a BIT STRING that has no unused bits. */
  bitString(): Buffer {
    const bytes = this.content(TAG.bitString);
    if (bytes[0] !== 0) throw new DerError("BIT STRING with unused bits");
    return bytes.subarray(1);
  }

  /** A UTCTime or GeneralizedTime in the one form that RFC 5280 §4.1.2.5 allows. */
  time(): Date {
    const tag = this.nextTag;
    if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) throw new DerError("no time where one belongs");
    return parseTime(this.content(tag).toString("latin1"), tag === TAG.utcTime);
  }

  /** Refuses bytes left over on this level. */
  finish(): void {
    if (!this.done) throw new DerError("bytes after the last element");
  }

  #byte(offset: number): number {
    const byte = offset < this.#end ? this.#der[offset] : undefined;
    if (byte === undefined) throw new DerError("truncated");
    return byte;
  }

  #longLength(offset: number, count: number): number {
    if (count === 0 || count > 4) throw new DerError("indefinite or absurd length");
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte(offset + i);
    if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError("length not in its shortest form");
    return length;
  }
}

function parseTime(text: string, utc: boolean): Date {
  if (!(utc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new DerError("time in another form");
  // RFC 5280 §4.1.2.5.1: two-digit years from 50 are of the twentieth century.
  const full = utc ? (text < "50" ? "20" : "19") + text : text;
  const iso = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const date = new Date(iso);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) throw new DerError("no such time");
  return date;
}
