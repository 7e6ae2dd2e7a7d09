/** What policy judges of an HTTP request: one object per request, made by readRequest and by nothing else. */
import type { AuthorizerAnswer } from "./connection.ts";
import type { JwtResult } from "./jwt/jwt-result.ts";
import { normalizePath, type PathNormalization } from "./normalize-path.ts";

/** Header fields as `[name, value, name, value, …]`: names in lower case, values trimmed, repeats in order. */
export type FlatHeaders = readonly string[];

/** INVARIANT: what was judged is what is forwarded; so `path` and `authority` here are what goes upstream. */
export class HttpRequest {
  readonly method: string;
  /** Path with query, normalised as the mesh says, without fragment. */
  readonly path: string;
  /** `path` without its query: what patterns look at. */
  readonly pathOnly: string;
  /** Host and port as sent, or those of an absolute request target. */
  readonly authority: string;
  /** `authority` in lower case: what patterns look at. */
  readonly host: string;
  readonly headers: FlatHeaders;
  /** Outcome of `verifyRequestJwt`; undefined until it was asked. */
  jwt: JwtResult | undefined;
  /** What the external authorizer said, once the caller has asked it (see requiredAuthorizer). */
  authorizer: AuthorizerAnswer | undefined;

  private constructor(method: string, path: string, authority: string, headers: FlatHeaders) {
    const query = path.indexOf("?");
    this.method = method;
    this.path = path;
    this.pathOnly = query < 0 ? path : path.slice(0, query);
    this.authority = authority;
    this.host = toLowerAscii(authority);
    this.headers = headers;
    this.jwt = undefined;
    this.authorizer = undefined;
  }

  /**
   * @param target the request target as sent (HTTP/1.1 request line, HTTP/2 `:path`).
   * @param authority the Host field or `:authority`; an absolute target's authority takes its place (RFC 9112 §3.2.2).
   * @returns null for a target that is refused with 400, as Envoy refuses it.
   */
  static read(
    mode: PathNormalization,
    method: string,
    target: string,
    authority: string,
    headers: FlatHeaders,
  ): HttpRequest | null {
    let path = target;
    let host = authority;
    if (target.charCodeAt(0) !== 0x2f) {
      const absolute = splitAbsolute(method, target);
      if (absolute === null) return null;
      path = absolute.path;
      host = absolute.authority ?? authority;
    }
    const normal = normalizePath(mode, path);
    return normal === null ? null : new HttpRequest(method, normal, host, headers);
  }
}

function toLowerAscii(text: string): string {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 0x41 && code <= 0x5a) return text.toLowerCase();
  }
  return text;
}

/** A target that does not start with a slash: absolute-form, `*` of OPTIONS, or refused. */
function splitAbsolute(method: string, target: string): { path: string; authority?: string } | null {
  if (target === "*" && method === "OPTIONS") return { path: "*" };
  const match = /^https?:\/\/([^/?#]+)([/?#].*)?$/i.exec(target);
  if (match === null) return null;
  const rest = match[2] ?? "/";
  return { authority: match[1] ?? "", path: rest.startsWith("/") ? rest : `/${rest}` };
}
