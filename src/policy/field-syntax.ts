/** What one header field may be (RFC 9110 §5, RFC 9112 §6), as the proxies' parser takes it and `can` judges by. Lengths and numbers of fields are the parser's. */
import { FIELD_VALUE, TOKEN_LOWER } from "./http1-grammar.ts";

/** Envoy fails a request with ten or more Connection members. */
export const MAX_CONNECTION_MEMBERS = 9;

/** Whether the string is an RFC 9110 token; a character beyond latin1 is none. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if ((TOKEN_LOWER[text.charCodeAt(i)] ?? 0) === 0) return false;
  }
  return text !== "";
}

/** Whether every character may stand in a field's value. Those beyond latin1 are sent as several octets of obs-text. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if ((FIELD_VALUE[text.charCodeAt(i)] ?? 1) === 0) return false;
  }
  return true;
}

/** The one transfer coding that is read. */
export function isChunked(value: string): boolean {
  return value.toLowerCase() === "chunked";
}

/** Octets, or undefined for what is not one plain decimal number; beyond 2^53 a double no longer counts octets exactly. */
export function parseContentLength(value: string): number | undefined {
  if (value.length === 0) return undefined;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - DIGIT_0;
    if (digit < 0 || digit > 9) return undefined;
    length = length * 10 + digit;
    if (length > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return length;
}

/** Cuts SP and HTAB only: String.trim also takes NBSP, which is obs-text and part of a value (RFC 9110 §5.6.3). */
export function trimOws(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isOws(text.charCodeAt(start))) start++;
  while (end > start && isOws(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

const DIGIT_0 = 0x30;
