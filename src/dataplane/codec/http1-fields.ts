import { isChunked, parseContentLength, trimOws } from "../../policy/field-syntax.ts";
import { FIELD_VALUE, TOKEN_LOWER } from "../../policy/http1-grammar.ts";
import { isAmbiguousField } from "../../policy/protected-fields.ts";
import { FIELD_ROLE, knownField, mixName } from "./http1-field-names.ts";
import { type Http1Refusal, refuse } from "./http1-refusal.ts";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

/** Content-Length of a message that has none. */
export const NO_LENGTH = -1;

/**
 * The header lines of one head. End-to-end headers are in {@link headers}; those that end at this hop are taken out
 * while parsing, so that policy sees exactly what is forwarded.
 */
export class FieldBlock {
  /** The whole head, latin1; {@link lines} are offsets in it. */
  readonly text: string;
  /** Flat: lower-case name, value without outer white space, name, value, … */
  readonly headers: string[] = [];
  /** Flat and parallel to headers: start and end (behind CRLF) of each header's line in text. */
  readonly lines: number[] = [];
  /** Value of Host as sent. */
  host: string | undefined = undefined;
  /** Octets, or {@link NO_LENGTH}. */
  contentLength: number = NO_LENGTH;
  chunked = false;
  /** Connection header lines joined by commas. */
  connection: string | undefined = undefined;
  upgrade: string | undefined = undefined;
  expectContinue = false;
  /** Whether TE says "trailers": the one TE value that is passed on. */
  teTrailers = false;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Parses header lines from `at` (behind the start line) to `end` (behind the empty line) into the block.
 * `origin` is the buffer offset where the block's text begins.
 * @returns undefined when every line is sound.
 * @see RFC 9110 §5, RFC 9112 §5
 */
export function parseFields(
  bytes: Buffer,
  origin: number,
  from: number,
  end: number,
  maxHeaders: number,
  block: FieldBlock,
): Http1Refusal | undefined {
  const text = block.text;
  const last = end - 2;
  let at = from;
  let count = 0;
  while (at < last) {
    if (++count > maxHeaders) return refuse("too-many-headers");
    const lineStart = at;
    let hash = 0;
    for (;;) {
      const lower = TOKEN_LOWER[bytes[at] as number] as number;
      if (lower === 0) break;
      hash = mixName(hash, lower);
      at++;
    }
    if (at === lineStart || bytes[at] !== COLON) return refuseName(bytes, lineStart, at);
    const nameEnd = at++;
    while (bytes[at] === SPACE || bytes[at] === HTAB) at++;
    const valueStart = at;
    while (FIELD_VALUE[bytes[at] as number] === 1) at++;
    // INVARIANT: the byte at end - 1 is LF and the one before is CR, so no scan runs past the head.
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return refuseValue(bytes, at);
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === HTAB))
      valueEnd--;
    at += 2;
    const known = knownField(bytes, lineStart, nameEnd, hash);
    const value = text.slice(valueStart - origin, valueEnd - origin);
    if (known === undefined) {
      const name = text.slice(lineStart - origin, nameEnd - origin).toLowerCase();
      if (isAmbiguousField(name)) return refuse("header-name-ambiguous");
      block.headers.push(name, value);
    } else {
      const refusal =
        known.role === FIELD_ROLE.plain
          ? undefined
          : (refuseTab(bytes, nameEnd, at, known.role) ?? applyRole(block, known.role, value));
      if (refusal !== undefined) return refusal;
      if (known.role >= FIELD_ROLE.connection && known.role !== FIELD_ROLE.expect) continue;
      block.headers.push(known.name, value);
    }
    block.lines.push(lineStart - origin, at - origin);
  }
  return undefined;
}

function refuseName(bytes: Buffer, lineStart: number, at: number): Http1Refusal {
  const byte = bytes[at];
  if (at === lineStart) {
    if (byte === SPACE || byte === HTAB) return refuse("obs-fold");
    if (byte === COLON) return refuse("header-name-empty");
  } else if (byte === SPACE || byte === HTAB) return refuse("space-before-colon");
  if (byte === LF) return refuse("bare-lf");
  return refuse(byte === CR && bytes[at + 1] !== LF ? "bare-cr" : "header-name-invalid");
}

function refuseValue(bytes: Buffer, at: number): Http1Refusal {
  if (bytes[at] === LF) return refuse("bare-lf");
  return refuse(bytes[at] === CR ? "bare-cr" : "header-value-invalid");
}

/**
 * Lines are sent on as they came. A tab around a framing value is legal (RFC 9110 §5.6.3), but readers that cut spaces alone
 * (llhttp) do not see the value, and would end the message elsewhere.
 */
function refuseTab(bytes: Buffer, from: number, to: number, role: number): Http1Refusal | undefined {
  if (role !== FIELD_ROLE.contentLength && role !== FIELD_ROLE.transferEncoding) return undefined;
  for (let at = from; at < to; at++) {
    if (bytes[at] !== HTAB) continue;
    return refuse(
      role === FIELD_ROLE.contentLength ? "content-length-invalid" : "transfer-encoding-unsupported",
    );
  }
  return undefined;
}

function applyRole(block: FieldBlock, role: number, value: string): Http1Refusal | undefined {
  switch (role) {
    case FIELD_ROLE.host:
      if (block.host !== undefined) return refuse("host-duplicate");
      block.host = value;
      return undefined;
    case FIELD_ROLE.contentLength:
      return applyContentLength(block, value);
    case FIELD_ROLE.transferEncoding:
      return applyTransferEncoding(block, value);
    case FIELD_ROLE.connection:
      block.connection = block.connection === undefined ? value : `${block.connection},${value}`;
      return undefined;
    case FIELD_ROLE.upgrade:
      block.upgrade = block.upgrade === undefined ? value : `${block.upgrade},${value}`;
      return undefined;
    case FIELD_ROLE.expect:
      if (block.expectContinue || value.toLowerCase() !== "100-continue")
        return refuse("expectation-unsupported");
      block.expectContinue = true;
      return undefined;
    case FIELD_ROLE.te:
      block.teTrailers ||= value.toLowerCase().split(",").some(isTrailers);
      return undefined;
    default:
      return undefined;
  }
}

function isTrailers(member: string): boolean {
  return trimOws(member) === "trailers";
}

/** RFC 9112 §6.3 allows repeated equal values; any repetition is refused here, as it is how CL.CL smuggling looks. */
function applyContentLength(block: FieldBlock, value: string): Http1Refusal | undefined {
  if (block.contentLength !== NO_LENGTH) return refuse("content-length-duplicate");
  const length = parseContentLength(value);
  if (length === undefined) return refuse("content-length-invalid");
  block.contentLength = length;
  return undefined;
}

function applyTransferEncoding(block: FieldBlock, value: string): Http1Refusal | undefined {
  if (block.chunked) return refuse("transfer-encoding-duplicate");
  if (!isChunked(value)) return refuse("transfer-encoding-unsupported");
  block.chunked = true;
  return undefined;
}
