import { isToken } from "../../policy/field-syntax.ts";
import { FIELD_VALUE } from "../../policy/http1-grammar.ts";
import type { RequestHead, ResponseHead } from "./http1-head.ts";

declare const brand: unique symbol;
/** Header lines, each `name: value CRLF`, that cannot hold another line: made by {@link fieldLines} only. */
export type FieldLines = string & { readonly [brand]: "FieldLines" };

/** No header lines. */
export const NO_FIELD_LINES: FieldLines = "" as FieldLines;

/**
 * Header lines from a flat list of names and values (latin1), or undefined when a name is no token or a value has CR, LF,
 * NUL, another control character, outer white space, or a character beyond latin1: response splitting ends here.
 * Constant lines should be made once, not per request.
 */
export function fieldLines(...fields: readonly string[]): FieldLines | undefined {
  if (fields.length % 2 !== 0) return undefined;
  let lines = "";
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (!isToken(name) || !isFieldValue(value)) return undefined;
    lines += `${name}: ${value}\r\n`;
  }
  return lines as FieldLines;
}

function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (FIELD_VALUE[value.charCodeAt(i)] !== 1) return false;
  return !(value.startsWith(" ") || value.startsWith("\t") || value.endsWith(" ") || value.endsWith("\t"));
}

/** Joins lines that are sound already. */
export function joinFieldLines(...parts: readonly FieldLines[]): FieldLines {
  let lines = "";
  for (const part of parts) lines += part;
  return lines as FieldLines;
}

/** How a head is changed on its way. What is not named stays byte for byte as sent. */
export interface HeadEdit {
  /** Lower-case names of headers to leave out. Small sets: looked up once a header. */
  readonly remove?: ReadonlySet<string>;
  /** Lines to append. A replaced header is one removed and added. */
  readonly add?: FieldLines;
  /** Says `connection: close`. */
  readonly close?: boolean;
}

export interface RequestEdit extends HeadEdit {
  /** Origin-form path and query instead of the head's; must hold only request-target characters (see {@link writeRequestHead}). */
  readonly path?: string;
  /** Host instead of the head's authority. */
  readonly authority?: string;
}

const NO_NAMES: ReadonlySet<string> = new Set();
const HOST: ReadonlySet<string> = new Set(["host"]);

/**
 * The request head to send upstream, latin1: HTTP/1.1, origin-form (CONNECT: as sent), hop-by-hop headers replaced by this
 * hop's own. An absolute-form or replaced authority becomes the Host. Lines kept are copied in runs from the head as sent.
 * @throws {Error} "BUG: …" when a replaced path or authority could end the line: callers pass parsed values only.
 */
export function writeRequestHead(head: RequestHead, edit: RequestEdit = {}): string {
  const path = edit.path ?? (head.form === "authority" ? head.target : head.path);
  if (edit.path !== undefined && !isTargetText(edit.path))
    throw new Error("BUG: unsound path in a request edit");
  const newHost =
    edit.authority ??
    (head.form === "absolute" || head.block.host === undefined ? head.authority : undefined);
  let out = `${head.method} ${path} HTTP/1.1\r\n`;
  if (newHost === undefined) out += keptLines(head.block, edit.remove ?? NO_NAMES);
  else {
    if (newHost !== "" && !isTargetText(newHost)) throw new Error("BUG: unsound authority in a request edit");
    out += `host: ${newHost}\r\n${keptLines(head.block, edit.remove === undefined ? HOST : edit.remove.union(HOST))}`;
  }
  return out + hopLines(head, edit, head.block.teTrailers);
}

/** The response head to send downstream, latin1: always HTTP/1.1, status and reason as received. */
export function writeResponseHead(head: ResponseHead, edit: HeadEdit = {}): string {
  const start = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  return start + keptLines(head.block, edit.remove ?? NO_NAMES) + hopLines(head, edit, false);
}

/** Added lines, this hop's own Connection, Upgrade and TE, and the empty line. */
function hopLines(head: RequestHead | ResponseHead, edit: HeadEdit, teTrailers: boolean): string {
  const add = edit.add ?? NO_FIELD_LINES;
  if (head.upgrade !== undefined) return `${add}connection: upgrade\r\nupgrade: ${head.upgrade}\r\n\r\n`;
  const close = edit.close === true;
  if (teTrailers) return `${add}connection: ${close ? "close, te" : "te"}\r\nte: trailers\r\n\r\n`;
  return close ? `${add}connection: close\r\n\r\n` : `${add}\r\n`;
}

/** One slice for each run of kept lines: with nothing to remove and no hop-by-hop header in between that is one slice. */
function keptLines(block: RequestHead["block"], remove: ReadonlySet<string>): string {
  const { headers, lines, text } = block;
  let out = "";
  let runStart = 0;
  let runEnd = 0;
  for (let i = 0; i < lines.length; i += 2) {
    if (remove.size > 0 && remove.has(headers[i] as string)) continue;
    if (lines[i] !== runEnd) {
      if (runEnd > runStart) out += text.slice(runStart, runEnd);
      runStart = lines[i] as number;
    }
    runEnd = lines[i + 1] as number;
  }
  return runEnd > runStart ? out + text.slice(runStart, runEnd) : out;
}

function isTargetText(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return text.length > 0;
}

/** Reasons of the statuses that the proxy itself answers with. */
const REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  411: "Length Required",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  421: "Misdirected Request",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** The interim answer to `Expect: 100-continue`. */
export const CONTINUE_REPLY = "HTTP/1.1 100 Continue\r\n\r\n";
/** The answer to CONNECT once the tunnel stands: no framing headers (RFC 9110 §9.3.6). */
export const CONNECT_ESTABLISHED_REPLY = "HTTP/1.1 200 Connection Established\r\n\r\n";

export interface LocalReplyOptions {
  /** Says `connection: close`; the caller closes. */
  readonly close?: boolean;
  /** The request was HEAD: length without body. */
  readonly headOnly?: boolean;
}

/**
 * A whole response made by the proxy, latin1 (the body's UTF-8 octets as latin1 characters).
 * @param status 200…599.
 * @param add further headers; without a content type text/plain is said when there is a body.
 */
export function writeLocalReply(
  status: number,
  add: FieldLines,
  body: string,
  options: LocalReplyOptions = {},
): string {
  const octets = Buffer.from(body, "utf8").toString("latin1");
  const type = octets === "" || /^content-type:/im.test(add) ? "" : "content-type: text/plain\r\n";
  const close = options.close === true ? "connection: close\r\n" : "";
  const head = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${add}${type}content-length: ${octets.length}\r\n${close}\r\n`;
  return options.headOnly === true ? head : head + octets;
}
