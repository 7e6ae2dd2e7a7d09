/** What a proxy looks for in a request's headers, found in one pass. */
export interface NotedHeaders {
  traceparent: string | undefined;
  requestId: string | undefined;
  /** Every x-forwarded-client-cert value, joined as lists are. */
  clientCert: string | undefined;
  forwardedFor: string | undefined;
  contentType: string | undefined;
  /** Headers that only proxies may set, to be taken off: `x-envoy-*` and x-forwarded-client-cert. Undefined when there is none. */
  forged: Set<string> | undefined;
}

const LOWER_X = 0x78;
const LOWER_T = 0x74;
const LOWER_C = 0x63;

/**
 * Reads a flat list of lower-case names and values. Everything `x-envoy-*` steers Envoys behind us or tells what only a
 * proxy knows, so no client's word is taken for it.
 */
export function noteHeaders(headers: readonly string[]): NotedHeaders {
  const noted: NotedHeaders = {
    traceparent: undefined,
    requestId: undefined,
    clientCert: undefined,
    forwardedFor: undefined,
    contentType: undefined,
    forged: undefined,
  };
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const first = name.charCodeAt(0);
    if (first === LOWER_X) noteExtension(noted, name, headers[at + 1] as string);
    else if (first === LOWER_T && name === "traceparent") noted.traceparent = headers[at + 1];
    else if (first === LOWER_C && name === "content-type") noted.contentType = headers[at + 1];
  }
  return noted;
}

function noteExtension(noted: NotedHeaders, name: string, value: string): void {
  if (name === "x-request-id") noted.requestId = value;
  else if (name === "x-forwarded-for") noted.forwardedFor = join(noted.forwardedFor, value);
  else if (name === "x-forwarded-client-cert") {
    noted.clientCert = join(noted.clientCert, value);
    noted.forged = (noted.forged ?? new Set()).add(name);
  } else if (name.startsWith("x-envoy-")) noted.forged = (noted.forged ?? new Set()).add(name);
}

/** INVARIANT: as `joinedField` does for policies, so that what is judged is what is sent. */
function join(before: string | undefined, value: string): string {
  if (before === undefined || before === "") return value;
  return value === "" ? before : `${before},${value}`;
}

/** `http`, `http2`, `grpc` or `websocket`, for the record. */
export function protocolName(
  http2: boolean,
  contentType: string | undefined,
  upgrade: string | undefined,
): string {
  if (upgrade !== undefined) return upgrade;
  if (!http2) return "http";
  return contentType?.startsWith("application/grpc") === true ? "grpc" : "http2";
}
