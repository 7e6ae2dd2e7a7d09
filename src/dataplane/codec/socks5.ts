import { isIPv4, isIPv6 } from "node:net";
import { parseIpv4, readDnsName } from "./dns-name.ts";
import type { ProxyCredential } from "./proxy-credential.ts";

/** Where a SOCKS5 client wants to go. */
export interface Socks5Target {
  /** "ipv4" and "ipv6" in text form, "name" in lower case. */
  readonly hostType: "ipv4" | "ipv6" | "name";
  readonly host: string;
  /** 1…65535. */
  readonly port: number;
}

export type Socks5RefusalReason =
  | "not-socks5"
  | "no-acceptable-method"
  | "bad-authentication"
  | "bad-request"
  | "command-unsupported"
  | "address-type-unsupported"
  | "address-invalid";

export type Socks5Step =
  /** Write reply (may be empty) and push more bytes. */
  | { readonly kind: "need-more"; readonly reply: Buffer }
  /** Write reply, connect, then write {@link socks5Reply} of the outcome. `rest` came behind the request: the tunnel's. */
  | { readonly kind: "connect"; readonly target: Socks5Target; readonly reply: Buffer; readonly rest: Buffer }
  /** Write reply and close. */
  | { readonly kind: "refused"; readonly reason: Socks5RefusalReason; readonly reply: Buffer };

/** RFC 1928 §6 REP values. */
export const SOCKS5_REPLY = {
  succeeded: 0,
  generalFailure: 1,
  notAllowedByRuleset: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;

export type Socks5ReplyCode = (typeof SOCKS5_REPLY)[keyof typeof SOCKS5_REPLY];

/** The reply to a request, with 0.0.0.0:0 as bound address: clients of CONNECT do not use it, and it tells them nothing. */
export function socks5Reply(code: Socks5ReplyCode): Buffer {
  return Buffer.from([VERSION, code, 0, ADDRESS_IPV4, 0, 0, 0, 0, 0, 0]);
}

const VERSION = 5;
const AUTH_VERSION = 1;
const METHOD_NONE = 0;
const METHOD_PASSWORD = 2;
const METHOD_UNACCEPTABLE = 0xff;
const COMMAND_CONNECT = 1;
const ADDRESS_IPV4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_IPV6 = 4;
const EMPTY = Buffer.alloc(0);
const INCOMPLETE = "incomplete";

type Refused = { readonly reason: Socks5RefusalReason; readonly reply: Buffer };
/** A sound phase consumes bytes and may answer; the last one yields the target. */
type Phase =
  | typeof INCOMPLETE
  | Refused
  | { readonly used: number; readonly reply: Buffer; readonly target?: Socks5Target };

/**
 * Server side of a SOCKS5 handshake, CONNECT only, for bytes cut in any way.
 * With a credential only user/password is accepted, without one only "no authentication".
 * Holds at most one unfinished message (≤ 515 bytes) between pushes.
 * @see RFC 1928, RFC 1929
 */
export class Socks5Handshake {
  readonly #credential: ProxyCredential | undefined;
  #phase: "greeting" | "authentication" | "request" | "ended" = "greeting";
  #pending: Buffer = EMPTY;

  constructor(credential?: ProxyCredential) {
    this.#credential = credential;
  }

  /** Takes the next bytes. Not to be called again after "connect" or "refused". */
  push(chunk: Buffer): Socks5Step {
    if (this.#phase === "ended") return { kind: "refused", reason: "bad-request", reply: EMPTY };
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const replies: Buffer[] = [];
    for (;;) {
      const step = this.#read(bytes);
      if (step === INCOMPLETE) {
        this.#pending = Buffer.from(bytes);
        return { kind: "need-more", reply: Buffer.concat(replies) };
      }
      replies.push(step.reply);
      const reply = Buffer.concat(replies);
      if ("reason" in step) return this.#end({ kind: "refused", reason: step.reason, reply });
      bytes = bytes.subarray(step.used);
      if (step.target !== undefined)
        return this.#end({ kind: "connect", target: step.target, reply, rest: bytes });
    }
  }

  #end(step: Socks5Step): Socks5Step {
    this.#phase = "ended";
    this.#pending = EMPTY;
    return step;
  }

  #read(bytes: Buffer): Phase {
    if (this.#phase === "greeting") return this.#readGreeting(bytes);
    return this.#phase === "authentication" ? this.#readAuthentication(bytes) : readRequest(bytes);
  }

  #readGreeting(bytes: Buffer): Phase {
    if (bytes.length > 0 && bytes[0] !== VERSION) return { reason: "not-socks5", reply: EMPTY };
    const used = 2 + (bytes[1] ?? 0);
    if (bytes.length < 2 || bytes.length < used) return INCOMPLETE;
    const method = this.#credential === undefined ? METHOD_NONE : METHOD_PASSWORD;
    if (!bytes.subarray(2, used).includes(method)) {
      return { reason: "no-acceptable-method", reply: Buffer.from([VERSION, METHOD_UNACCEPTABLE]) };
    }
    this.#phase = method === METHOD_NONE ? "request" : "authentication";
    return { used, reply: Buffer.from([VERSION, method]) };
  }

  #readAuthentication(bytes: Buffer): Phase {
    const refused = { reason: "bad-authentication", reply: Buffer.from([AUTH_VERSION, 1]) } as const;
    if (bytes.length > 0 && bytes[0] !== AUTH_VERSION) return refused;
    const userEnd = 2 + (bytes[1] ?? 0);
    const used = userEnd + 1 + (bytes[userEnd] ?? 0);
    if (bytes.length < 2 || bytes.length <= userEnd || bytes.length < used) return INCOMPLETE;
    const matches = this.#credential?.matches(bytes.subarray(2, userEnd), bytes.subarray(userEnd + 1, used));
    if (matches !== true) return refused;
    this.#phase = "request";
    return { used, reply: Buffer.from([AUTH_VERSION, 0]) };
  }
}

function readRequest(bytes: Buffer): Phase {
  if (bytes.length < 5)
    return bytes.length > 0 && bytes[0] !== VERSION ? badRequest("bad-request") : INCOMPLETE;
  if (bytes[0] !== VERSION || bytes[2] !== 0) return badRequest("bad-request");
  if (bytes[1] !== COMMAND_CONNECT) {
    return { reason: "command-unsupported", reply: socks5Reply(SOCKS5_REPLY.commandNotSupported) };
  }
  const addressEnd = endOfAddress(bytes);
  if (addressEnd === undefined) {
    return { reason: "address-type-unsupported", reply: socks5Reply(SOCKS5_REPLY.addressTypeNotSupported) };
  }
  if (bytes.length < addressEnd + 2) return INCOMPLETE;
  const port = bytes.readUInt16BE(addressEnd);
  const address = readAddress(bytes, addressEnd);
  if (address === undefined || port === 0) return badRequest("address-invalid");
  return { used: addressEnd + 2, reply: EMPTY, target: { ...address, port } };
}

function badRequest(reason: Socks5RefusalReason): Refused {
  return { reason, reply: socks5Reply(SOCKS5_REPLY.generalFailure) };
}

function endOfAddress(bytes: Buffer): number | undefined {
  if (bytes[3] === ADDRESS_IPV4) return 8;
  if (bytes[3] === ADDRESS_IPV6) return 20;
  return bytes[3] === ADDRESS_NAME ? 5 + (bytes[4] ?? 0) : undefined;
}

function readAddress(bytes: Buffer, end: number): Omit<Socks5Target, "port"> | undefined {
  if (bytes[3] === ADDRESS_IPV4) return { hostType: "ipv4", host: bytes.subarray(4, 8).join(".") };
  if (bytes[3] === ADDRESS_IPV6) return { hostType: "ipv6", host: ipv6Text(bytes) };
  const name = readDnsName(bytes, 5, end);
  if (name !== undefined) return { hostType: "name", host: name };
  return readLiteral(bytes.toString("latin1", 5, end));
}

/** Clients without a resolver put address literals into the name field. */
function readLiteral(text: string): Omit<Socks5Target, "port"> | undefined {
  if (isIPv4(text) && parseIpv4(text) !== undefined) return { hostType: "ipv4", host: text };
  return isIPv6(text) && !text.includes("%") ? { hostType: "ipv6", host: text.toLowerCase() } : undefined;
}

function ipv6Text(bytes: Buffer): string {
  const groups: string[] = [];
  for (let at = 4; at < 20; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return groups.join(":");
}
