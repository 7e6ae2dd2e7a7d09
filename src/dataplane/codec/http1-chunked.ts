import { FIELD_VALUE, HEX_VALUE, TOKEN_LOWER } from "../../policy/http1-grammar.ts";
import { isAmbiguousField } from "../../policy/protected-fields.ts";
import { BODY_MALFORMED, type BodyLimits, type BodyReader } from "./http1-body-reader.ts";
import { isForbiddenTrailer } from "./http1-field-names.ts";
import { type Http1Refusal, type Http1RefusalCode, refuse } from "./http1-refusal.ts";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
/** 13 hexadecimal digits are 52 bits: the size never leaves the exact range of a double. */
const MAX_SIZE_DIGITS = 13;
const NOT_HEX = 255;

/** States, in the order in which they follow one another. */
const STATE = {
  size: 0,
  /** Behind ";": a name must follow. */
  extensionStart: 1,
  extensionName: 2,
  /** Behind "=": a token or a quoted string must follow. */
  extensionValueStart: 3,
  extensionValue: 4,
  extensionQuoted: 5,
  extensionEscaped: 6,
  extensionQuoteEnd: 7,
  sizeLf: 8,
  data: 9,
  dataCr: 10,
  dataLf: 11,
  trailerStart: 12,
  trailerName: 13,
  trailerValue: 14,
  trailerLf: 15,
  endLf: 16,
  done: 17,
  failed: 18,
} as const;

/**
 * Reads a chunked body. Sizes are hexadecimal digits only, every line ends with CRLF, extensions follow the grammar
 * without its optional white space, trailers are sound header lines with permitted names. Extensions and
 * trailers are passed on unchanged: after these checks no reader can take them for a line end.
 * Linear in the input, however it is cut.
 * @see RFC 9112 §7.1; RFC 9110 §6.5.1
 */
export class ChunkedReader implements BodyReader {
  readonly endsWithConnection = false;
  readonly #limits: BodyLimits;
  #refusal: Http1Refusal | undefined = undefined;
  #state: number = STATE.size;
  /** Size being read, then octets of data still to come. */
  #size = 0;
  #sizeDigits = 0;
  #bodyBytes = 0;
  #extensionBytes = 0;
  #trailerBytes = 0;
  #trailers = 0;
  #name = "";

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  get done(): boolean {
    return this.#state === STATE.done;
  }

  get refusal(): Http1Refusal | undefined {
    return this.#refusal;
  }

  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#state < STATE.done) {
      if (this.#state === STATE.data) at = this.#skipData(at, end);
      else this.#state = this.#step(bytes[at++] as number);
    }
    return this.#state === STATE.failed ? BODY_MALFORMED : at;
  }

  #skipData(at: number, end: number): number {
    const taken = Math.min(this.#size, end - at);
    this.#size -= taken;
    if (this.#size === 0) this.#state = STATE.dataCr;
    return at + taken;
  }

  #step(byte: number): number {
    switch (this.#state) {
      case STATE.size:
        return this.#readSize(byte);
      case STATE.sizeLf:
        return this.#expect(byte, LF, "bare-cr", this.#size === 0 ? STATE.trailerStart : STATE.data);
      case STATE.dataCr:
        return this.#expect(byte, CR, "chunk-terminator-invalid", STATE.dataLf);
      case STATE.dataLf:
        this.#sizeDigits = 0;
        return this.#expect(byte, LF, "chunk-terminator-invalid", STATE.size);
      case STATE.trailerLf:
        return this.#expect(byte, LF, "bare-cr", STATE.trailerStart);
      case STATE.endLf:
        return this.#expect(byte, LF, "bare-cr", STATE.done);
      case STATE.trailerStart:
      case STATE.trailerName:
      case STATE.trailerValue:
        return this.#readTrailer(byte);
      default:
        return this.#readExtension(byte);
    }
  }

  #expect(byte: number, wanted: number, code: Http1RefusalCode, next: number): number {
    return byte === wanted ? next : this.#fail(code);
  }

  #readSize(byte: number): number {
    const digit = HEX_VALUE[byte] as number;
    if (digit !== NOT_HEX) {
      if (++this.#sizeDigits > MAX_SIZE_DIGITS) return this.#fail("chunk-size-invalid");
      this.#size = this.#size * 16 + digit;
      return STATE.size;
    }
    if (this.#sizeDigits === 0) return this.#fail("chunk-size-invalid");
    if (byte === CR) return this.#endSize();
    if (byte === LF) return this.#fail("bare-lf");
    if (byte !== SEMICOLON) return this.#fail("chunk-size-invalid");
    return this.#countExtension(STATE.extensionStart);
  }

  #endSize(): number {
    this.#bodyBytes += this.#size;
    if (this.#bodyBytes > this.#limits.maxBodyBytes) return this.#fail("body-too-large");
    return STATE.sizeLf;
  }

  #countExtension(next: number): number {
    if (++this.#extensionBytes > this.#limits.maxExtensionBytes) return this.#fail("chunk-extension-invalid");
    return next;
  }

  #readExtension(byte: number): number {
    if (byte === CR && mayEndExtension(this.#state)) return this.#endSize();
    if (byte === LF) return this.#fail("bare-lf");
    const next = nextInExtension(this.#state, byte);
    return next === STATE.failed ? this.#fail("chunk-extension-invalid") : this.#countExtension(next);
  }

  #readTrailer(byte: number): number {
    if (this.#state === STATE.trailerStart && byte === CR) return STATE.endLf;
    if (++this.#trailerBytes > this.#limits.maxTrailerBytes) return this.#fail("trailer-too-large");
    if (this.#state === STATE.trailerValue) return this.#readTrailerValue(byte);
    if (this.#state === STATE.trailerStart) this.#name = "";
    if (TOKEN_LOWER[byte] === 0) return this.#endTrailerName(byte);
    this.#name += String.fromCharCode(TOKEN_LOWER[byte] as number);
    return STATE.trailerName;
  }

  #endTrailerName(byte: number): number {
    if (byte === LF) return this.#fail("bare-lf");
    if (byte === SPACE || byte === HTAB)
      return this.#fail(this.#name === "" ? "obs-fold" : "space-before-colon");
    if (byte !== COLON) return this.#fail("header-name-invalid");
    if (this.#name === "") return this.#fail("header-name-empty");
    if (isForbiddenTrailer(this.#name) || isAmbiguousField(this.#name))
      return this.#fail("trailer-forbidden");
    if (++this.#trailers > this.#limits.maxTrailers) return this.#fail("trailer-too-large");
    return STATE.trailerValue;
  }

  #readTrailerValue(byte: number): number {
    if (byte === CR) return STATE.trailerLf;
    if (byte === LF) return this.#fail("bare-lf");
    return FIELD_VALUE[byte] === 1 ? STATE.trailerValue : this.#fail("header-value-invalid");
  }

  #fail(code: Http1RefusalCode): number {
    this.#refusal = refuse(code);
    return STATE.failed;
  }
}

function mayEndExtension(state: number): boolean {
  return state === STATE.extensionName || state === STATE.extensionValue || state === STATE.extensionQuoteEnd;
}

/** chunk-ext = *( ";" name [ "=" ( token / quoted-string ) ] ), without the bad white space on which readers differ. */
function nextInExtension(state: number, byte: number): number {
  switch (state) {
    case STATE.extensionEscaped:
      return FIELD_VALUE[byte] === 1 ? STATE.extensionQuoted : STATE.failed;
    case STATE.extensionQuoted:
      if (byte === QUOTE) return STATE.extensionQuoteEnd;
      if (byte === BACKSLASH) return STATE.extensionEscaped;
      return FIELD_VALUE[byte] === 1 ? STATE.extensionQuoted : STATE.failed;
    case STATE.extensionStart:
      return TOKEN_LOWER[byte] === 0 ? STATE.failed : STATE.extensionName;
    case STATE.extensionValueStart:
      if (byte === QUOTE) return STATE.extensionQuoted;
      return TOKEN_LOWER[byte] === 0 ? STATE.failed : STATE.extensionValue;
    default:
      if (byte === SEMICOLON) return STATE.extensionStart;
      if (byte === EQUALS && state === STATE.extensionName) return STATE.extensionValueStart;
      return TOKEN_LOWER[byte] === 0 || state === STATE.extensionQuoteEnd ? STATE.failed : state;
  }
}
