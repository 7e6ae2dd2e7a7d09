import { isIPv4, isIPv6 } from "node:net";
import { parseAuthority } from "../../policy/authority.ts";
import { parseDnsName, parseIpv4 } from "./dns-name.ts";
import { type FieldLines, fieldLines, NO_FIELD_LINES, writeLocalReply } from "./head-writer.ts";
import type { RequestHead } from "./http1-head.ts";
import type { ProxyCredential } from "./proxy-credential.ts";

export type ProxyRefusalReason =
  | "not-a-proxy-request"
  | "scheme-unsupported"
  | "host-invalid"
  | "proxy-authentication-required";

export type ProxyRequest =
  /** Open a tunnel; answer with CONNECT_ESTABLISHED_REPLY. */
  | { readonly kind: "connect"; readonly host: string; readonly port: number }
  /** Forward the request in origin-form, without {@link PROXY_ONLY_FIELDS}. */
  | { readonly kind: "forward"; readonly host: string; readonly port: number }
  /** Write reply (latin1) and close. */
  | {
      readonly kind: "refused";
      readonly reason: ProxyRefusalReason;
      readonly status: number;
      readonly reply: string;
    };

/** Headers meant for this proxy: never to be sent on (a credential would leak upstream). */
export const PROXY_ONLY_FIELDS: ReadonlySet<string> = new Set(["proxy-authorization", "proxy-authenticate"]);

const CHALLENGE: FieldLines = fieldLines("proxy-authenticate", 'Basic realm="mesh"') ?? NO_FIELD_LINES;
const MAX_CREDENTIAL_LENGTH = 1024;
const HTTP_PORT = 80;

/**
 * What a request to an explicit HTTP proxy asks for: CONNECT host:port, or an absolute-form http target.
 * Hosts are returned in lower case: DNS names, IPv4 and IPv6 literals (without brackets).
 * @param credential when given, Proxy-Authorization must hold it (RFC 7617), compared in constant time.
 */
export function readProxyRequest(head: RequestHead, credential?: ProxyCredential): ProxyRequest {
  if (credential !== undefined && !isAuthorized(head, credential)) {
    return refused("proxy-authentication-required", 407, CHALLENGE);
  }
  if (head.form === "origin" || head.form === "asterisk") return refused("not-a-proxy-request", 400);
  // https in absolute-form would have the proxy make the TLS connection: clients use CONNECT for that.
  if (head.scheme === "https") return refused("scheme-unsupported", 400);
  const authority = parseAuthority(head.authority);
  const port = authority?.port ?? HTTP_PORT;
  if (authority === undefined || port === 0 || !isHost(authority.host)) return refused("host-invalid", 400);
  return { kind: head.form === "authority" ? "connect" : "forward", host: authority.host, port };
}

function refused(reason: ProxyRefusalReason, status: number, add: FieldLines = NO_FIELD_LINES): ProxyRequest {
  return { kind: "refused", reason, status, reply: writeLocalReply(status, add, reason, { close: true }) };
}

function isHost(host: string): boolean {
  return parseDnsName(host) !== undefined || (isIPv4(host) && parseIpv4(host) !== undefined) || isIPv6(host);
}

function isAuthorized(head: RequestHead, credential: ProxyCredential): boolean {
  const value = proxyAuthorization(head);
  if (value === undefined || value.length > MAX_CREDENTIAL_LENGTH) return false;
  const match = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(value);
  if (match === null) return false;
  const pair = Buffer.from(match[1] ?? "", "base64");
  const colon = pair.indexOf(":");
  return colon >= 0 && credential.matches(pair.subarray(0, colon), pair.subarray(colon + 1));
}

/** The one Proxy-Authorization header; two are none. */
function proxyAuthorization(head: RequestHead): string | undefined {
  const { headers } = head;
  let value: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "proxy-authorization") continue;
    if (value !== undefined) return undefined;
    value = headers[i + 1];
  }
  return value;
}
