import { isAuthority, sameAuthority } from "../../policy/authority.ts";
import { isToken } from "../../policy/field-syntax.ts";
import { FIELD_VALUE, HTTP_METHODS, TARGET, TOKEN_LOWER } from "../../policy/http1-grammar.ts";
import { type ConnectionOptions, dropFields, readConnection } from "./http1-connection.ts";
import { FieldBlock, NO_LENGTH, parseFields } from "./http1-fields.ts";
import { type Http1Refusal, refuse } from "./http1-refusal.ts";
import { type RequestTarget, readTarget, type TargetForm } from "./http1-target.ts";

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const SLASH = 0x2f;
const DIGIT_0 = 0x30;
const CONTENT_LENGTH: ReadonlySet<string> = new Set(["content-length"]);

export interface HeadLimits {
  /** Start line and headers, with the empty line. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  readonly maxTargetBytes: number;
  /** Largest Content-Length. */
  readonly maxBodyBytes: number;
}

/** Head size and count as Envoy's defaults (60 KiB, 100 headers); target as nginx's large buffers. */
export const HEAD_LIMITS: HeadLimits = {
  maxHeadBytes: 60 * 1024,
  maxHeaders: 100,
  maxTargetBytes: 16 * 1024,
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
};

/** How the bytes behind the head are framed: "close" runs to the end of the connection, "tunnel" is no longer HTTP. */
export type BodyKind = "none" | "length" | "chunked" | "close" | "tunnel";

interface MessageHead {
  readonly version: 10 | 11;
  /** Flat, lower-case name and value by turns: the end-to-end headers, as policy may see them and as they are sent on. */
  readonly headers: readonly string[];
  readonly bodyKind: BodyKind;
  /** Octets of a "length" body, else 0. */
  readonly contentLength: number;
  /** Whether this side lets the connection be used again. */
  readonly keepAlive: boolean;
  /** Protocol of an accepted-form Upgrade, lower case ("websocket"); undefined for h2c, lists, and none. */
  readonly upgrade: string | undefined;
  /** The lines as sent, for the head writer. */
  readonly block: FieldBlock;
}

export interface RequestHead extends MessageHead {
  readonly kind: "request";
  readonly method: string;
  /** The request-target as sent, without fragment. */
  readonly target: string;
  readonly form: TargetForm;
  /** Of an absolute-form target only. */
  readonly scheme: "http" | "https" | undefined;
  /** Path and query as sent, not normalised; "*" for OPTIONS *, "" for CONNECT. */
  readonly path: string;
  /** Host, or the target's authority, as sent; "" for HTTP/1.0 without Host. */
  readonly authority: string;
  readonly expectContinue: boolean;
}

export interface ResponseHead extends MessageHead {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
  /** A 1xx other than 101: another head follows. */
  readonly interim: boolean;
}

/** What of the request decides how its response is framed (RFC 9112 §6.3). */
export interface ResponseContext {
  readonly method: string;
  readonly upgrade: string | undefined;
}

/**
 * Parses the request head in bytes [start, end), `end` being behind its CRLF CRLF.
 * Reads RFC 9112 strictly: whatever two readers could frame or route differently is refused with a status and a code.
 * HTTP/1.0 is accepted here; whether to serve it is the caller's choice (Istio's proxies answer it with 426).
 * @see RFC 9110, RFC 9112; attacks: CL.TE, TE.CL, TE.TE, CL.0, obs-fold, bare LF, Host confusion
 */
export function parseRequestHead(
  bytes: Buffer,
  start: number,
  end: number,
  limits: HeadLimits = HEAD_LIMITS,
): RequestHead | Http1Refusal {
  if (end - start > limits.maxHeadBytes) return refuse("head-too-large");
  if (!endsHead(bytes, start, end)) return refuse("bad-request-line");
  const text = bytes.toString("latin1", start, end);
  let at = start;
  while (TOKEN_LOWER[bytes[at] as number] !== 0) at++;
  const methodEnd = at;
  if (at === start || bytes[at] !== SPACE) return refuseStartLine(bytes, at, "bad-request-line");
  const targetStart = ++at;
  while (TARGET[bytes[at] as number] === 1) at++;
  const targetEnd = at;
  // No fragment belongs in a target (RFC 9112 §3.2); Istio's Envoys cut one off, so nobody behind this line sees it.
  while (TARGET[bytes[at] as number] !== 0) at++;
  if (targetEnd === targetStart || bytes[at] !== SPACE) return refuseStartLine(bytes, at, "bad-target");
  if (at - targetStart > limits.maxTargetBytes) return refuse("target-too-long");
  const version = readVersion(bytes, at + 1);
  const lineEnd = at + 9;
  if (version === 0 || bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) {
    return refuseVersion(bytes, text, at + 1);
  }
  const method = HTTP_METHODS.get(text.slice(0, methodEnd - start));
  if (method === undefined) return refuse("method-unknown");
  const block = new FieldBlock(text);
  const refusal = parseFields(bytes, start, lineEnd + 2, end, limits.maxHeaders, block);
  if (refusal !== undefined) return refusal;
  const target = text.slice(targetStart - start, targetEnd - start);
  const parsedTarget =
    bytes[targetStart] === SLASH && method !== "CONNECT" ? undefined : readTarget(method, target);
  if (parsedTarget?.kind === "refusal") return parsedTarget;
  return finishRequest(method, target, parsedTarget, version, block, limits);
}

/** The head must be non-empty and end with CRLF CRLF: every scan below relies on that to stop. */
function endsHead(bytes: Buffer, start: number, end: number): boolean {
  return (
    start >= 0 &&
    end - start >= 4 &&
    end <= bytes.length &&
    bytes[end - 1] === LF &&
    bytes[end - 2] === CR &&
    bytes[end - 3] === LF &&
    bytes[end - 4] === CR
  );
}

/** 10 or 11 for "HTTP/1.0" or "HTTP/1.1" at this offset, else 0. */
function readVersion(bytes: Buffer, at: number): 0 | 10 | 11 {
  if (
    bytes[at] !== 0x48 ||
    bytes[at + 1] !== 0x54 ||
    bytes[at + 2] !== 0x54 ||
    bytes[at + 3] !== 0x50 ||
    bytes[at + 4] !== 0x2f ||
    bytes[at + 5] !== 0x31 ||
    bytes[at + 6] !== 0x2e
  ) {
    return 0;
  }
  return bytes[at + 7] === 0x31 ? 11 : bytes[at + 7] === 0x30 ? 10 : 0;
}

function refuseStartLine(
  bytes: Buffer,
  at: number,
  otherwise: "bad-request-line" | "bad-target",
): Http1Refusal {
  if (bytes[at] === LF) return refuse("bare-lf");
  if (bytes[at] === CR && bytes[at + 1] !== LF) return refuse("bare-cr");
  return refuse(bytes[at] === CR ? "bad-request-line" : otherwise);
}

function refuseVersion(bytes: Buffer, text: string, at: number): Http1Refusal {
  if (text.startsWith("PRI * HTTP/2.0\r\n")) return refuse("http2-preface");
  const lineEnd = bytes.indexOf(LF, at);
  if (bytes[lineEnd - 1] !== CR) return refuse("bare-lf");
  const version = bytes.toString("latin1", at, lineEnd - 1);
  return refuse(/^HTTP\/\d\.\d$/.test(version) ? "version-unsupported" : "bad-request-line");
}

function finishRequest(
  method: string,
  target: string,
  parsed: RequestTarget | undefined,
  version: 10 | 11,
  block: FieldBlock,
  limits: HeadLimits,
): RequestHead | Http1Refusal {
  const refusal = checkHost(block, version) ?? checkTargetHost(parsed, block) ?? checkFraming(block, version);
  if (refusal !== undefined) return refusal;
  const connection = readConnection(block);
  if ("kind" in connection) return connection;
  const upgrade = version === 11 && connection.upgrade ? upgradeOf(block.upgrade) : undefined;
  const hasBody = block.chunked || block.contentLength > 0;
  if (block.contentLength > limits.maxBodyBytes) return refuse("body-too-large");
  if (upgrade !== undefined && hasBody) return refuse("upgrade-with-body");
  if (method === "CONNECT") {
    if (block.chunked) return refuse("transfer-encoding-forbidden");
    if (hasBody) return refuse("content-length-forbidden");
    dropFields(block, CONTENT_LENGTH);
  }
  return {
    kind: "request",
    method,
    target,
    form: parsed === undefined ? "origin" : parsed.form,
    scheme: parsed === undefined ? undefined : parsed.scheme,
    path: parsed === undefined ? target : parsed.path,
    authority: parsed !== undefined && parsed.authority !== "" ? parsed.authority : (block.host ?? ""),
    version,
    headers: block.headers,
    bodyKind: block.chunked ? "chunked" : hasBody ? "length" : "none",
    contentLength: hasBody && !block.chunked ? block.contentLength : 0,
    keepAlive: isKeptAlive(version, connection),
    upgrade,
    expectContinue: block.expectContinue && version === 11,
    block,
  };
}

/** An empty Host is legal (RFC 9112 §3.2) but refused by Envoy: it names nothing that could be routed. */
function checkHost(block: FieldBlock, version: 10 | 11): Http1Refusal | undefined {
  if (block.host === undefined) return version === 11 ? refuse("host-missing") : undefined;
  return isAuthority(block.host) ? undefined : refuse("bad-authority");
}

/**
 * RFC 9112 §3.2.2 lets the target win over Host; a difference is refused, and on agreement Host becomes the target's
 * spelling. CONNECT clients may leave the port out of Host.
 */
function checkTargetHost(parsed: RequestTarget | undefined, block: FieldBlock): Http1Refusal | undefined {
  if (parsed === undefined || parsed.authority === "" || block.host === undefined) return undefined;
  const { authority } = parsed;
  const defaultPort =
    parsed.scheme === "http" ? 80 : parsed.scheme === "https" ? 443 : connectPort(authority);
  if (!sameAuthority(authority, block.host, defaultPort)) return refuse("host-mismatch");
  const { headers } = block;
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === "host") headers[i + 1] = authority;
  return undefined;
}

function connectPort(authority: string): number {
  return Number(authority.slice(authority.lastIndexOf(":") + 1));
}

function checkFraming(block: FieldBlock, version: 10 | 11): Http1Refusal | undefined {
  if (!block.chunked) return undefined;
  if (block.contentLength !== NO_LENGTH) return refuse("transfer-encoding-and-content-length");
  return version === 10 ? refuse("transfer-encoding-forbidden") : undefined;
}

/** h2c is not upgraded to: the tunnel would carry requests past policy. Lists and versions are not upgraded to either. */
function upgradeOf(value: string | undefined): string | undefined {
  if (value === undefined || value === "" || !isToken(value)) return undefined;
  const protocol = value.toLowerCase();
  return protocol === "h2c" || protocol === "h2" ? undefined : protocol;
}

function isKeptAlive(version: 10 | 11, connection: ConnectionOptions): boolean {
  return !connection.close && (version === 11 || connection.keepAlive);
}

/**
 * Parses the response head in bytes [start, end), `end` being behind its CRLF CRLF, as an answer to a request.
 * A refusal means: answer the client with 502 and close the upstream connection.
 * @see RFC 9112 §4, §6.3
 */
export function parseResponseHead(
  bytes: Buffer,
  start: number,
  end: number,
  request: ResponseContext,
  limits: HeadLimits = HEAD_LIMITS,
): ResponseHead | Http1Refusal {
  if (end - start > limits.maxHeadBytes) return refuse("head-too-large");
  if (!endsHead(bytes, start, end)) return refuse("bad-status-line");
  const version = readVersion(bytes, start);
  if (version === 0) return refuse("version-unsupported");
  const status = readStatus(bytes, start + 8);
  if (status === 0) return refuse("bad-status-line");
  let at = start + 12;
  // Servers leave out the space before an empty reason; Envoy and llhttp let that pass.
  if (bytes[at] === SPACE) at++;
  else if (bytes[at] !== CR) return refuse("bad-status-line");
  const reasonStart = at;
  while (FIELD_VALUE[bytes[at] as number] === 1) at++;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return refuse("bad-status-line");
  const text = bytes.toString("latin1", start, end);
  const block = new FieldBlock(text);
  const refusal = parseFields(bytes, start, at + 2, end, limits.maxHeaders, block);
  if (refusal !== undefined) return refusal;
  return finishResponse(status, text.slice(reasonStart - start, at - start), version, block, request, limits);
}

/** The status after one space, 100…599, or 0. */
function readStatus(bytes: Buffer, at: number): number {
  if (bytes[at] !== SPACE) return 0;
  let status = 0;
  for (let i = at + 1; i <= at + 3; i++) {
    const digit = (bytes[i] as number) - DIGIT_0;
    if (digit < 0 || digit > 9) return 0;
    status = status * 10 + digit;
  }
  return status >= 100 && status <= 599 ? status : 0;
}

function finishResponse(
  status: number,
  reason: string,
  version: 10 | 11,
  block: FieldBlock,
  request: ResponseContext,
  limits: HeadLimits,
): ResponseHead | Http1Refusal {
  const upgrade = status === 101 ? upgradeOf(block.upgrade) : undefined;
  if (status === 101 && (upgrade === undefined || upgrade !== request.upgrade))
    return refuse("status-unexpected");
  const bodiless = isBodiless(status, request);
  const refusal = checkFraming(block, version) ?? (bodiless ? checkBodiless(block) : undefined);
  if (refusal !== undefined) return refusal;
  if (block.contentLength > limits.maxBodyBytes) return refuse("body-too-large");
  const connection = readConnection(block);
  if ("kind" in connection) return connection;
  const bodyKind = responseBodyKind(status, bodiless, block, request);
  return {
    kind: "response",
    status,
    reason,
    version,
    headers: block.headers,
    bodyKind,
    contentLength: bodyKind === "length" ? block.contentLength : 0,
    keepAlive: bodyKind !== "close" && bodyKind !== "tunnel" && isKeptAlive(version, connection),
    upgrade,
    interim: status < 200 && status !== 101,
    block,
  };
}

/** Statuses where Content-Length and Transfer-Encoding may not even appear (RFC 9110 §8.6, RFC 9112 §6.1). */
function isBodiless(status: number, request: ResponseContext): boolean {
  return status < 200 || status === 204 || isTunnel(status, request);
}

function isTunnel(status: number, request: ResponseContext): boolean {
  return status === 101 || (request.method === "CONNECT" && status >= 200 && status < 300);
}

/** As Envoy: Transfer-Encoding is an error, Content-Length: 0 is dropped, any other length is an error. */
function checkBodiless(block: FieldBlock): Http1Refusal | undefined {
  if (block.chunked) return refuse("transfer-encoding-forbidden");
  if (block.contentLength > 0) return refuse("content-length-forbidden");
  if (block.contentLength === 0) dropFields(block, CONTENT_LENGTH);
  return undefined;
}

function responseBodyKind(
  status: number,
  bodiless: boolean,
  block: FieldBlock,
  request: ResponseContext,
): BodyKind {
  if (isTunnel(status, request)) return "tunnel";
  if (bodiless || status === 304 || request.method === "HEAD") return "none";
  if (block.chunked) return "chunked";
  if (block.contentLength === NO_LENGTH) return "close";
  return block.contentLength === 0 ? "none" : "length";
}
