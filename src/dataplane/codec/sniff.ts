import { HTTP_METHODS, TOKEN_LOWER } from "../../policy/http1-grammar.ts";

/** What the first bytes of a plaintext connection are. "other" is opaque TCP. */
export type SniffedProtocol = "tls" | "http1" | "http2" | "other" | "need-more";

/** RFC 9113 §3.4. */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const MAX_METHOD_BYTES = 32;
/** A longer line is left to the strict head parser, which refuses it: fail closed, and bounds the cost per call. */
const MAX_LINE_BYTES = 8 * 1024;
const CONTENT_HANDSHAKE = 0x16;
const SPACE = 0x20;
const SLASH = 0x2f;
const LF = 0x0a;
const CR = 0x0d;

/**
 * Tells the protocol from all bytes received so far; ask again with more bytes on "need-more".
 * As Envoy's tls_inspector and http_inspector: TLS by the record header, HTTP/2 by its whole preface, HTTP/1 by the
 * request line. A known method followed by " /" is HTTP/1 at once (Envoy waits for the line's end and calls a line
 * without HTTP/1.x opaque): such a connection gets the strict parser, never the opaque path.
 */
export function sniffProtocol(bytes: Buffer): SniffedProtocol {
  if (bytes.length === 0) return "need-more";
  if (bytes[0] === CONTENT_HANDSHAKE) return sniffTls(bytes);
  const prefaceBytes = Math.min(bytes.length, HTTP2_PREFACE.length);
  if (bytes.compare(HTTP2_PREFACE, 0, prefaceBytes, 0, prefaceBytes) === 0) {
    return prefaceBytes === HTTP2_PREFACE.length ? "http2" : "need-more";
  }
  return sniffRequestLine(bytes);
}

function sniffTls(bytes: Buffer): SniffedProtocol {
  if (bytes.length < 2) return "need-more";
  return bytes[1] === 3 ? "tls" : "other";
}

function sniffRequestLine(bytes: Buffer): SniffedProtocol {
  let at = 0;
  while (at < bytes.length && at <= MAX_METHOD_BYTES && TOKEN_LOWER[bytes[at] ?? 0] !== 0) at++;
  if (at > MAX_METHOD_BYTES) return "other";
  if (at === bytes.length) return "need-more";
  if (at === 0 || bytes[at] !== SPACE) return "other";
  if (bytes[at + 1] === SLASH && HTTP_METHODS.has(bytes.toString("latin1", 0, at))) return "http1";
  return sniffLineEnd(bytes, at + 1);
}

function sniffLineEnd(bytes: Buffer, targetStart: number): SniffedProtocol {
  const line = bytes.subarray(0, MAX_LINE_BYTES);
  const lf = line.indexOf(LF, targetStart);
  const end = lf < 0 ? line.length : lf;
  // A last CR may be the line's end whether its LF is here yet or not.
  const textEnd = line[end - 1] === CR ? end - 1 : end;
  for (let i = targetStart; i < textEnd; i++) {
    const byte = line[i] as number;
    if (byte < SPACE || byte > 0x7e) return "other";
  }
  if (lf < 0) return bytes.length < MAX_LINE_BYTES ? "need-more" : "http1";
  const tail = line.toString("latin1", Math.max(targetStart, end - 10), end);
  return tail === " HTTP/1.1\r" || tail === " HTTP/1.0\r" ? "http1" : "other";
}
