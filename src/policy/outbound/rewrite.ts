/** Path rewrites and redirects, as Envoy computes them. */
import type { RE2JS } from "re2js";
import type { RequestView } from "./request-view.ts";
import type { HttpMatch, HttpRedirect, HttpRewrite } from "./resource-shapes.ts";
import { isPresenceMatch, parsePattern } from "./string-match.ts";

/** Gives the path without query. */
export type PathRewrite = (pathOnly: string) => string;

/**
 * A URI rewrite replaces the prefix that the route's condition asked for; where that is an exact path or a pattern, the
 * whole path. Undefined where the route rewrites no path.
 */
export function compilePathRewrite(
  rewrite: HttpRewrite | undefined,
  match: HttpMatch | undefined,
): PathRewrite | undefined {
  const pattern = rewrite?.uriRegexRewrite;
  if (pattern !== undefined) return compileRegexRewrite(pattern.match ?? "", pattern.rewrite ?? "");
  const { wholePath } = rewrite ?? {};
  if (wholePath !== undefined) return () => wholePath;
  const uri = rewrite?.uri ?? "";
  const segments = match?.uri?.pathPrefix;
  if (uri !== "" && segments !== undefined) return replaceSegments(uri, segments.length);
  return uri === "" ? undefined : replacePrefix(uri, matchedLength(match));
}

function replacePrefix(replacement: string, length: number): PathRewrite {
  return (pathOnly) => replacement + pathOnly.slice(Math.min(length, pathOnly.length));
}

/** Whole segments in place of whole segments: never two slashes where they meet, never no path. */
function replaceSegments(replacement: string, length: number): PathRewrite {
  const head = replacement.replace(/\/+$/, "");
  return (pathOnly) => head + pathOnly.slice(length) || "/";
}

/** How many characters of a path the condition pins down. */
function matchedLength(match: HttpMatch | undefined): number {
  const uri = match?.uri;
  if (uri === undefined || isPresenceMatch(uri)) return 1;
  return uri.prefix === undefined ? Number.POSITIVE_INFINITY : uri.prefix.length;
}

/** Every match is replaced; `\1` in the substitution stands for a group, `\\` for a backslash (RE2's own syntax). */
function compileRegexRewrite(match: string, substitution: string): PathRewrite | undefined {
  const pattern: RE2JS | undefined = parsePattern(match);
  if (pattern === undefined) return undefined;
  return (pathOnly) => {
    const matcher = pattern.matcher(pathOnly);
    let rewritten = "";
    let from = 0;
    while (matcher.find()) {
      rewritten += pathOnly.slice(from, matcher.start());
      rewritten += substitution.replace(/\\([\d\\])/g, (_token, group: string) =>
        group === "\\" ? group : groupOf(matcher, Number(group)),
      );
      from = matcher.end();
    }
    return rewritten + pathOnly.slice(from);
  };
}

function groupOf(matcher: ReturnType<RE2JS["matcher"]>, group: number): string {
  return group > matcher.groupCount() ? "" : (matcher.group(group) ?? "");
}

export interface RedirectPlan {
  readonly code: number;
  locate(request: RequestView): string;
}

const REDIRECT_CODES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Undefined for a code that Envoy has no redirect for. */
export function compileRedirect(
  redirect: HttpRedirect,
  match: HttpMatch | undefined,
  listenPort: number,
  isTls: boolean,
): RedirectPlan | undefined {
  const code = redirect.redirectCode ?? 301;
  if (code !== 0 && !REDIRECT_CODES.has(code)) return undefined;
  const arrived = isTls ? "https" : "http";
  const scheme = redirect.scheme || arrived;
  const port = redirectPort(redirect, listenPort, scheme);
  const path = compileRedirectPath(redirect, match);
  return {
    code: code === 0 ? 301 : code,
    locate(request) {
      const host = redirect.authority || requestHost(request.authority, scheme, arrived, port !== 0);
      return `${scheme}://${host}${port === 0 ? "" : `:${port}`}${path(request)}`;
    },
  };
}

/** 0 = none is written: not asked for, or the scheme's own. */
function redirectPort(redirect: HttpRedirect, listenPort: number, scheme: string): number {
  const asked = redirect.port ?? (redirect.derivePort === "FROM_REQUEST_PORT" ? listenPort : 0);
  return (asked === 80 && scheme === "http") || (asked === 443 && scheme === "https") ? 0 : asked;
}

/** The port in the Host header goes where another is written, or where it was the old scheme's own. */
function requestHost(authority: string, scheme: string, arrived: string, hasPort: boolean): string {
  const port = /:(\d+)$/.exec(authority);
  if (port === null) return authority;
  const standard = arrived === "https" ? "443" : "80";
  const goes = hasPort || (scheme !== arrived && port[1] === standard);
  return goes ? authority.slice(0, port.index) : authority;
}

function compileRedirectPath(
  redirect: HttpRedirect,
  match: HttpMatch | undefined,
): (request: RequestView) => string {
  const prefix = redirect.prefixRewrite ?? "";
  if (prefix !== "") {
    const segments = match?.uri?.pathPrefix;
    const rewrite =
      segments === undefined
        ? replacePrefix(prefix, matchedLength(match))
        : replaceSegments(prefix, segments.length);
    return (request) => rewrite(request.pathOnly) + request.search;
  }
  const uri = redirect.uri ?? "";
  if (uri === "") return (request) => request.path;
  return uri.includes("?") ? () => uri : (request) => uri + request.search;
}
