/** Header fields that tell who a request is from, how it is framed, or what is hop by hop: what may not be imitated or dropped. */

/** Fields that the parser of HTTP/1 itself acts on, or ends at this hop. */
export const HOP_FIELDS = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "upgrade",
  "expect",
  "te",
  "keep-alive",
  "proxy-connection",
  "http2-settings",
] as const;

const HOP_FIELD_SET: ReadonlySet<string> = new Set(HOP_FIELDS);

const PROTECTED: ReadonlySet<string> = new Set([
  "host",
  "authorization",
  "cookie",
  "set-cookie",
  "content-length",
  "content-type",
  "forwarded",
  "via",
  "x-request-id",
  "traceparent",
]);

/**
 * Whether dropping or imitating this header could change who a request is from or how it is framed.
 * @see https://nathandavison.com/blog/abusing-http-hop-by-hop-request-headers
 */
export function isProtectedField(lowerName: string): boolean {
  return PROTECTED.has(lowerName) || lowerName.startsWith("x-forwarded-") || lowerName.startsWith("x-envoy-");
}

/** Whether a name with underscores reads as a protected or framing header to CGI-like servers, which fold "-" and "_". */
export function isAmbiguousField(lowerName: string): boolean {
  if (!lowerName.includes("_")) return false;
  const folded = lowerName.replaceAll("_", "-");
  return isProtectedField(folded) || HOP_FIELD_SET.has(folded);
}
