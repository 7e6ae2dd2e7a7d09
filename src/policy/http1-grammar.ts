/**
 * Byte classes of HTTP/1.1 (RFC 9110 §5.6.2, RFC 9112), as tables: one load a byte, no regular expression.
 * Arrays of 256 so that any byte is an index.
 */

/** 0 = not a token character; else the byte in lower case. */
export const TOKEN_LOWER: Uint8Array = new Uint8Array(256);
/** 1 = allowed in a field value: HTAB, SP, VCHAR, obs-text. CR, LF, NUL, other controls and DEL are not. */
export const FIELD_VALUE: Uint8Array = new Uint8Array(256);
/** 1 = allowed in a request-target: VCHAR and nothing above 0x7e; 2 = "#", where a fragment begins. */
export const TARGET: Uint8Array = new Uint8Array(256);
/** 1 = allowed in a registered name or IPv4 address of an authority: letters, digits, "-", ".", "_". */
export const HOST_NAME: Uint8Array = new Uint8Array(256);
/** 1 = Envoy 1.40 takes it in an authority, wherever it stands: RFC 3986 §3.2 without its grammar. */
export const ENVOY_AUTHORITY: Uint8Array = new Uint8Array(256);
/** Value of a hexadecimal digit, or 255. */
export const HEX_VALUE: Uint8Array = new Uint8Array(256).fill(255);

for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  TOKEN_LOWER[c.charCodeAt(0)] = c.charCodeAt(0);
for (const c of "-._0123456789abcdefghijklmnopqrstuvwxyz") HOST_NAME[c.charCodeAt(0)] = 1;
for (let c = 0x41; c <= 0x5a; c++) {
  TOKEN_LOWER[c] = c + 0x20;
  HOST_NAME[c] = 1;
}
for (let c = 0x21; c < 0x7f; c++)
  ENVOY_AUTHORITY[c] = '"#/<>?\\^`{|}'.includes(String.fromCharCode(c)) ? 0 : 1;
for (let c = 0x20; c < 256; c++) FIELD_VALUE[c] = c === 0x7f ? 0 : 1;
FIELD_VALUE[0x09] = 1;
for (let c = 0x21; c <= 0x7e; c++) TARGET[c] = c === 0x23 ? 2 : 1;
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  HEX_VALUE[text.charCodeAt(0)] = digit;
  HEX_VALUE[text.toUpperCase().charCodeAt(0)] = digit;
}

/**
 * Methods that are let through; every other is answered 400, as by Envoy. Envoy's list without allow_custom_methods, less its
 * misspelt MSEARCH: an unlisted method could carry framing rules that this proxy does not know.
 */
export const HTTP_METHODS: ReadonlyMap<string, string> = new Map(
  (
    "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS " +
    "PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
  )
    .split(" ")
    .map((method) => [method, method]),
);
