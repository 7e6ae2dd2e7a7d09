/** What an authority is (RFC 3986 §3.2), as the proxies' parser takes it and `can` judges by. */
import { HOST_NAME } from "./http1-grammar.ts";
import { parseIpAddress } from "./ip-address.ts";

const COLON = 0x3a;
const DOT = 0x2e;
const BRACKET_OPEN = 0x5b;
const DIGIT_0 = 0x30;
const MAX_AUTHORITY_LENGTH = 262;
const NO_PORT = -1;
const BAD = -2;

/** Host and port of an authority. */
export interface Authority {
  /** Lower case, as written otherwise (a trailing dot stays); IPv6 without brackets. */
  readonly host: string;
  /** 0…65535, or undefined when the authority has none. */
  readonly port: number | undefined;
}

/**
 * Whether the text is `host[:port]` with a name of letters, digits, "-", "_", "." without empty labels (one trailing dot
 * is let through for policy to normalise), an IPv4 or a bracketed IPv6 address. Stricter than RFC 3986 §3.2: no userinfo,
 * percent-encoding, sub-delimiters, empty host or empty port.
 */
export function isAuthority(text: string): boolean {
  const hostEnd = endOfHost(text);
  return hostEnd > 0 && portAfter(text, hostEnd) !== BAD;
}

/** Splits what {@link isAuthority} accepts; undefined for all else. */
export function parseAuthority(text: string): Authority | undefined {
  const hostEnd = endOfHost(text);
  if (hostEnd <= 0) return undefined;
  const port = portAfter(text, hostEnd);
  if (port === BAD) return undefined;
  const bracketed = text.charCodeAt(0) === BRACKET_OPEN;
  const host = (bracketed ? text.slice(1, hostEnd - 1) : text.slice(0, hostEnd)).toLowerCase();
  return { host, port: port === NO_PORT ? undefined : port };
}

/** Offset behind the host, or 0 when there is no sound host. */
function endOfHost(text: string): number {
  const length = text.length;
  if (length === 0 || length > MAX_AUTHORITY_LENGTH) return 0;
  if (text.charCodeAt(0) === BRACKET_OPEN) return endOfIpv6(text);
  let previous = DOT;
  let at = 0;
  for (; at < length; at++) {
    const code = text.charCodeAt(at);
    if (HOST_NAME[code] !== 1 || (code === DOT && previous === DOT)) break;
    previous = code;
  }
  return at;
}

function endOfIpv6(text: string): number {
  const close = text.indexOf("]");
  // A zone id ("%eth0") means something on one machine only.
  const address = close > 0 ? text.slice(1, close) : "";
  return address.includes(":") && parseIpAddress(address) !== undefined ? close + 1 : 0;
}

function portAfter(text: string, hostEnd: number): number {
  if (hostEnd === text.length) return NO_PORT;
  const digits = text.length - hostEnd - 1;
  if (text.charCodeAt(hostEnd) !== COLON || digits < 1 || digits > 5) return BAD;
  let port = 0;
  for (let i = hostEnd + 1; i < text.length; i++) {
    const digit = text.charCodeAt(i) - DIGIT_0;
    if (digit < 0 || digit > 9) return BAD;
    port = port * 10 + digit;
  }
  return port <= 0xffff ? port : BAD;
}

/** Whether two authorities mean the same host and port, a missing port being the default one. Both must be sound. */
export function sameAuthority(a: string, b: string, defaultPort: number): boolean {
  if (a === b) return true;
  const left = parseAuthority(a);
  const right = parseAuthority(b);
  if (left === undefined || right === undefined) return false;
  return left.host === right.host && (left.port ?? defaultPort) === (right.port ?? defaultPort);
}
