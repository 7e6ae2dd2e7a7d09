/** What is asked about, and how each protocol puts it. */
import type { ExtAuthzProvider } from "../../policy/ext-authz-provider.ts";
import type { CheckHttp, CheckPeer, CheckRequest } from "./check-message.ts";

/** A body as far as it was read for the authorizer. */
export interface PeekedBody {
  readonly bytes: Buffer;
  /** There is more of it. */
  readonly partial: boolean;
}

/** A connection, or a request on it, about which an authorizer is asked. */
export interface CheckInput {
  readonly source: CheckPeer;
  readonly destination: CheckPeer;
  readonly timeMs: number;
  /** Null for TCP. */
  readonly http: {
    readonly id: string;
    readonly method: string;
    /** Normalised. */
    readonly path: string;
    readonly authority: string;
    readonly scheme: "http" | "https";
    readonly protocol: "HTTP/1.1" | "HTTP/2";
    /** Flat, as they would go to the application: what clients forge of the proxy's own headers is off already. */
    readonly headers: readonly string[];
    /** Null where it is not shown. */
    readonly body: PeekedBody | null;
  } | null;
}

/** Only the proxy says this: a client's is never passed on to an authorizer. */
const PARTIAL_BODY = "x-envoy-auth-partial-body";
const NO_BYTES = Buffer.alloc(0);

/** The CheckRequest of Envoy's gRPC authorizers: every header, repeated ones joined by commas. */
export function checkRequest(
  { source, destination, timeMs, http }: CheckInput,
  provider: ExtAuthzProvider,
): CheckRequest {
  return { source, destination, timeMs, http: http === null ? null : checkHttp(http, provider) };
}

function checkHttp(http: NonNullable<CheckInput["http"]>, { body: settings }: ExtAuthzProvider): CheckHttp {
  const { id, method, path, authority, scheme, protocol, headers, body } = http;
  const shown = new Map([
    [":authority", authority],
    [":method", method],
    [":path", path],
    [":scheme", scheme],
  ]);
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name === "host" || name === PARTIAL_BODY) continue;
    const value = utf8(headers[at + 1] as string);
    const before = shown.get(name);
    shown.set(name, before === undefined ? value : `${before},${value}`);
  }
  if (body !== null) shown.set(PARTIAL_BODY, String(body.partial));
  const asBytes = settings?.packAsBytes === true;
  return {
    id,
    method,
    path,
    host: authority,
    scheme,
    protocol,
    headers: shown,
    size: Number(
      shown.get("content-length") ?? (protocol === "HTTP/1.1" && !shown.has("transfer-encoding") ? 0 : -1),
    ),
    body: body === null || asBytes ? "" : utf8Of(body.bytes),
    rawBody: body !== null && asBytes ? body.bytes : NO_BYTES,
  };
}

/** Octets that came as latin1, as text; what is no UTF-8 as Envoy writes it. */
function utf8(latin1: string): string {
  return /^[\0-\x7f]*$/.test(latin1) ? latin1 : utf8Of(Buffer.from(latin1, "latin1"));
}

function utf8Of(bytes: Buffer): string {
  return bytes.toString("utf8").replaceAll("\ufffd", "!");
}

/** A request to an HTTP authorizer: the caller's own method and path, few of its headers. */
export interface HttpCheck {
  readonly method: string;
  readonly path: string;
  /** Flat, lower-case names; Host first, Content-Length last. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** @param http of a CheckInput that has one: HTTP authorizers have no say on TCP. */
export function httpCheck(http: NonNullable<CheckInput["http"]>, provider: ExtAuthzProvider): HttpCheck {
  const settings = provider.http;
  const fixed = settings?.additionalHeaders ?? [];
  const replaced = new Set(fixed.filter((_text, at) => at % 2 === 0));
  const shown = new Map<string, string>();
  for (let at = 0; at + 1 < http.headers.length; at += 2) {
    const name = http.headers[at] as string;
    const wanted = name === "authorization" || settings?.requestHeaders.matches(name) === true;
    if (!wanted || replaced.has(name) || OWN.has(name)) continue;
    const before = shown.get(name);
    const value = http.headers[at + 1] as string;
    shown.set(name, before === undefined ? value : `${before},${value}`);
  }
  const body = http.body?.bytes ?? NO_BYTES;
  const partial = http.body === null ? [] : [PARTIAL_BODY, String(http.body.partial)];
  return {
    method: http.method,
    path: `${settings?.pathPrefix ?? ""}${http.path}`,
    headers: [
      ...["host", http.authority],
      ...[...shown].flat(),
      ...fixed.filter((_text, at) => !OWN.has(fixed[at - (at % 2)] as string)),
      ...partial,
      ...["content-length", String(body.length)],
    ],
    body,
  };
}

/** Headers of the check itself, whatever is listed. */
const OWN: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "expect",
  PARTIAL_BODY,
]);
