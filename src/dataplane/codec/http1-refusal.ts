/** Why a head, chunk or trailer was refused. Codes are stable and append-only; they appear in the flow log. */
export type Http1RefusalCode = keyof typeof REASONS;

export interface Http1Refusal {
  readonly kind: "refusal";
  /** The status to answer a request with. A refused response is answered with 502 instead. */
  readonly status: number;
  readonly code: Http1RefusalCode;
  /** One line for people. Never holds bytes of the message. */
  readonly detail: string;
}

const REASONS = {
  "head-too-large": [431, "the message head is longer than the limit"],
  "too-many-headers": [431, "the message head has more header lines than the limit"],
  "target-too-long": [414, "the request-target is longer than the limit"],
  "body-too-large": [413, "Content-Length or the chunks exceed the body limit"],
  "bare-lf": [400, "a line ends with LF without CR"],
  "bare-cr": [400, "CR without LF"],
  "http2-preface": [400, "an HTTP/2 preface on an HTTP/1.1 connection"],
  "bad-request-line": [400, "the request line is not method SP target SP version"],
  "bad-status-line": [400, "the status line is not version SP status [SP reason]"],
  "method-unknown": [400, "the method is not one that this proxy knows"],
  "version-unsupported": [505, "the version is neither HTTP/1.1 nor HTTP/1.0"],
  "bad-target": [400, "the request-target has a forbidden character or form"],
  "bad-authority": [400, "the authority is not host[:port]"],
  "status-unexpected": [400, "the status code cannot answer this request"],
  "obs-fold": [400, "a header line begins with white space"],
  "header-name-empty": [400, "a header line has no name"],
  "header-name-invalid": [400, "a header name has a forbidden character"],
  "header-name-ambiguous": [400, "a header name with underscores imitates a protected header"],
  "space-before-colon": [400, "white space between a header name and its colon"],
  "header-value-invalid": [400, "a header value has a control character"],
  "host-missing": [400, "HTTP/1.1 without a Host header"],
  "host-duplicate": [400, "more than one Host header"],
  "host-mismatch": [400, "the Host header differs from the authority of the request-target"],
  "content-length-duplicate": [400, "more than one Content-Length header"],
  "content-length-invalid": [400, "Content-Length is not one plain decimal number"],
  "content-length-forbidden": [400, "Content-Length where no body is possible"],
  "transfer-encoding-duplicate": [400, "more than one Transfer-Encoding header"],
  "transfer-encoding-unsupported": [501, "Transfer-Encoding is not exactly chunked"],
  "transfer-encoding-forbidden": [400, "Transfer-Encoding where it is not allowed"],
  "transfer-encoding-and-content-length": [400, "both Transfer-Encoding and Content-Length"],
  "connection-invalid": [400, "the Connection header is malformed or names too many headers"],
  "connection-nominates-protected": [400, "the Connection header names a header that must not be dropped"],
  "upgrade-with-body": [400, "an Upgrade request with a body"],
  "expectation-unsupported": [417, "Expect is not exactly 100-continue"],
  "chunk-size-invalid": [400, "a chunk size is not hexadecimal or is too large"],
  "chunk-extension-invalid": [400, "a chunk extension is malformed or too long"],
  "chunk-terminator-invalid": [400, "chunk data is not followed by CRLF"],
  "trailer-too-large": [431, "the trailers exceed the limit"],
  "trailer-forbidden": [400, "a trailer names a field that may not be one"],
} as const satisfies Record<string, readonly [status: number, detail: string]>;

/** One frozen value a code: refusing a flood of bad heads allocates nothing. */
const REFUSALS: ReadonlyMap<string, Http1Refusal> = new Map(
  Object.entries(REASONS).map(([code, [status, detail]]) => [
    code,
    Object.freeze({ kind: "refusal", status, code: code as Http1RefusalCode, detail }),
  ]),
);

/** All codes, for tests and documentation. */
export const HTTP1_REFUSAL_CODES: readonly Http1RefusalCode[] = Object.keys(REASONS) as Http1RefusalCode[];

/** The refusal with this code. */
export function refuse(code: Http1RefusalCode): Http1Refusal {
  const refusal = REFUSALS.get(code);
  if (refusal === undefined) throw new Error(`BUG: no refusal "${code}"`);
  return refusal;
}
