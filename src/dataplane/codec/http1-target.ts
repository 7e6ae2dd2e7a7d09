import { isAuthority, parseAuthority } from "../../policy/authority.ts";
import { type Http1Refusal, refuse } from "./http1-refusal.ts";

/** The four forms of a request-target (RFC 9112 §3.2). */
export type TargetForm = "origin" | "absolute" | "authority" | "asterisk";

export interface RequestTarget {
  readonly kind: "target";
  readonly form: TargetForm;
  readonly scheme: "http" | "https" | undefined;
  /** From absolute-form and authority-form; "" for the others. */
  readonly authority: string;
  /** Path and query as sent; "" for CONNECT; "*" for the whole server. */
  readonly path: string;
}

/** Reads a request-target other than plain origin-form; the characters are checked already. */
export function readTarget(method: string, target: string): RequestTarget | Http1Refusal {
  if (method === "CONNECT") return readConnectTarget(target);
  if (target.startsWith("/"))
    return { kind: "target", form: "origin", scheme: undefined, authority: "", path: target };
  if (target === "*") {
    if (method !== "OPTIONS") return refuse("bad-target");
    return { kind: "target", form: "asterisk", scheme: undefined, authority: "", path: "*" };
  }
  return readAbsoluteTarget(method, target);
}

function readConnectTarget(target: string): RequestTarget | Http1Refusal {
  const port = parseAuthority(target)?.port;
  if (port === undefined || port === 0) return refuse("bad-target");
  return { kind: "target", form: "authority", scheme: undefined, authority: target, path: "" };
}

/** Only http and https are proxied here; userinfo is refused with the authority (RFC 9110 §4.2.4). */
function readAbsoluteTarget(method: string, target: string): RequestTarget | Http1Refusal {
  const scheme = schemeOf(target);
  if (scheme === undefined) return refuse("bad-target");
  const start = scheme.length + 3;
  let end = start;
  while (end < target.length && target[end] !== "/" && target[end] !== "?") end++;
  const authority = target.slice(start, end);
  if (!isAuthority(authority)) return refuse("bad-authority");
  const rest = target.slice(end);
  // RFC 9112 §3.2.4: OPTIONS with an empty path asks about the server, and the last proxy says so with "*".
  const path = rest === "" ? (method === "OPTIONS" ? "*" : "/") : rest.startsWith("?") ? `/${rest}` : rest;
  return { kind: "target", form: "absolute", scheme, authority, path };
}

function schemeOf(target: string): "http" | "https" | undefined {
  const start = target.slice(0, 8).toLowerCase();
  if (start.startsWith("http://")) return "http";
  return start === "https://" ? "https" : undefined;
}
