/** What policy judges of an HTTP request: one object per request, made by HttpRequest.read and by nothing else. */
import type { AuthorizerAnswer } from "./connection.ts";
import { withoutParameters } from "./jwt/extract-token.ts";
import { headersAfterToken, type JwtResult } from "./jwt/jwt-result.ts";
import { normalizePath, type PathNormalization } from "./normalize-path.ts";
import type { Verdict } from "./verdict.ts";
import { BAD_REQUEST, NO_RELATIVE_PATH } from "./verdict-catalogue.ts";

/** Header fields as `[name, value, name, value, …]`: names in lower case, values trimmed, repeats in order. Host may be left out. */
export type FlatHeaders = readonly string[];

/** INVARIANT: what was judged is what is forwarded; so `forwardedPath` and `authority` here are what goes upstream. */
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
  #headers: FlatHeaders;
  readonly #received: FlatHeaders;
  #jwt: JwtResult | undefined;
  /** What the external authorizer said, once the caller has asked it (see requiredAuthorizer). */
  authorizer: AuthorizerAnswer | undefined;

  private constructor(method: string, path: string, authority: string, headers: FlatHeaders) {
    const query = path.indexOf("?");
    this.method = method;
    this.path = path;
    this.pathOnly = query < 0 ? path : path.slice(0, query);
    this.authority = authority;
    this.host = toLowerAscii(authority);
    this.#headers = headers;
    this.#received = headers;
    this.#jwt = undefined;
    this.authorizer = undefined;
  }

  /** As they were received; once tokens are verified, as those left them. */
  get headers(): FlatHeaders {
    return this.#headers;
  }

  /** Outcome of verifyRequestJwt; undefined until it was asked. */
  get jwt(): JwtResult | undefined {
    return this.#jwt;
  }

  /** INVARIANT: from here on rules see what goes on: without tokens that end here, with the headers that claims make. */
  set jwt(result: JwtResult | undefined) {
    this.#jwt = result;
    this.#headers = result === undefined ? this.#received : headersAfterToken(this.#received, result);
  }

  /** The request as CUSTOM policies see it, which come before tokens. */
  get beforeTokens(): HttpRequest {
    if (this.#headers === this.#received) return this;
    const before = new HttpRequest(this.method, this.path, this.authority, this.#received);
    before.authorizer = this.authorizer;
    return before;
  }

  /** `path`, without the query parameters whose tokens end here. Known once tokens are verified. */
  get forwardedPath(): string {
    const spent = this.jwt?.removeParams ?? [];
    return spent.length === 0 ? this.path : withoutParameters(this.path, spent);
  }

  /**
   * @param target the request target as sent (HTTP/1.1 request line, HTTP/2 `:path`).
   * @param authority the Host field or `:authority`; an absolute target's authority takes its place (RFC 9112 §3.2.2).
   * @param version HTTP/1 knows its methods by name; HTTP/2 takes any token.
   * @returns null for what is refused whatever the policies say; requestRefusal tells with which verdict.
   */
  static read(
    mode: PathNormalization,
    method: string,
    target: string,
    authority: string,
    headers: FlatHeaders,
    version: 1 | 2 = 1,
  ): HttpRequest | null {
    if (version === 1 && !METHODS.has(method)) return null;
    if (target.charCodeAt(0) === SLASH) {
      const path = normalizePath(mode, target);
      return path === null ? null : new HttpRequest(method, path, authority, headers);
    }
    const absolute = version === 1 ? splitAbsolute(target) : null;
    const path = absolute === null ? null : normalizePath(mode, absolute.path);
    return absolute === null || path === null
      ? null
      : new HttpRequest(method, path, absolute.authority, headers);
  }
}

const SLASH = 0x2f;

/** The methods that Envoy's HTTP/1 parser knows, but CONNECT, whose target is no path. */
const METHODS: ReadonlySet<string> = new Set(
  `ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS
   PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE`.split(
    /\s+/,
  ),
);

/** Whether HTTP/1.1 has a request of this method; HTTP/2 takes any token. */
export function isHttp1Method(method: string): boolean {
  return METHODS.has(method);
}

/** The verdict on a request that HttpRequest.read did not take: 400, or 404 for targets that are well-formed but have no path. */
export function requestRefusal(method: string, target: string): Verdict {
  const asterisk = method === "OPTIONS" && target.startsWith("*");
  return asterisk || /^https?:\/\/[^/?#]+\?/i.test(target) ? NO_RELATIVE_PATH : BAD_REQUEST;
}

function toLowerAscii(text: string): string {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 0x41 && code <= 0x5a) return text.toLowerCase();
  }
  return text;
}

const ABSOLUTE = /^https?:\/\/(?:[^@/?#]*@)?((?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?)(\/.*)?$/i;

/** An absolute request target (RFC 9112 §3.2.2): authority without user, as written; path as written. */
function splitAbsolute(target: string): { path: string; authority: string } | null {
  const match = ABSOLUTE.exec(target);
  if (match === null) return null;
  const [, authority = "", port = "80", path = "/"] = match;
  return Number(port) < 1 || Number(port) > 65535 ? null : { authority, path };
}
