/** The conditions of an HTTP route, compiled to a predicate; what depends on the client alone is decided here. */
import type { Labels } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { RequestView } from "./request-view.ts";
import type { HttpMatch, StringMatch } from "./resource-shapes.ts";
import { compileStringMatch, isPresenceMatch } from "./string-match.ts";

export type RequestPredicate = (request: RequestView) => boolean;

/** Whose routes are compiled, and for which port. */
export interface RouteClient {
  readonly namespace: string;
  readonly labels: Labels;
  /** `mesh`, or the gateway's `namespace/name`. */
  readonly gateway: string;
  readonly listenPort: number;
}

/** Whether a condition can hold for this client at all. Naming gateways lifts the conditions on the source. */
export function concernsClient(match: HttpMatch, client: RouteClient): boolean {
  const port = match.port ?? 0;
  if (port !== 0 && port !== client.listenPort) return false;
  const gateways = match.gateways ?? [];
  if (gateways.length > 0) return gateways.includes(client.gateway);
  if (!matchesLabels(match.sourceLabels ?? {}, client.labels)) return false;
  const namespace = match.sourceNamespace ?? "";
  return namespace === "" || namespace === client.namespace;
}

/** Whether a condition takes every request, so that nothing after it is reached. */
export function isCatchAll(match: HttpMatch | undefined): boolean {
  if (match === undefined) return true;
  const { uri } = match;
  const everyPath =
    uri === undefined || isPresenceMatch(uri)
      ? true
      : uri.exact === undefined && uri.pathPrefix === undefined && (uri.prefix === "/" || uri.regex === ".*");
  const others = [match.headers, match.withoutHeaders, match.queryParams];
  return (
    everyPath &&
    match.method === undefined &&
    match.authority === undefined &&
    match.scheme === undefined &&
    others.every((entries) => Object.keys(entries ?? {}).length === 0)
  );
}

/** One condition of a route, with its words for a person. */
export interface MatchClause {
  readonly holds: RequestPredicate;
  readonly text: () => string;
}

/** @param scheme `http` or `https`, as the proxy knows it. */
export function compileClauses(match: HttpMatch, scheme: string): readonly MatchClause[] {
  const clauses: MatchClause[] = [];
  const add = (holds: RequestPredicate, text: () => string): void => {
    clauses.push({ holds, text });
  };
  const { uri, method, authority } = match;
  if (uri !== undefined && !isPresenceMatch(uri)) {
    const test = compileStringMatch(uri, match.ignoreUriCase === true);
    add(
      (request) => test(request.pathOnly),
      () => `path ${wording(uri)}`,
    );
  }
  if (method !== undefined) {
    const test = compileStringMatch(method);
    add(
      (request) => test(request.method),
      () => `method ${wording(method)}`,
    );
  }
  if (authority !== undefined) {
    const test = compileStringMatch(authority);
    add(
      (request) => test(request.authority),
      () => `authority ${wording(authority)}`,
    );
  }
  if (match.scheme !== undefined) {
    const own = match.scheme;
    const holds = compileStringMatch(own)(scheme);
    add(
      () => holds,
      () => `scheme ${wording(own)}`,
    );
  }
  for (const [name, value] of Object.entries(match.headers ?? {}))
    add(compileHeader(name, value), () => `header ${name} ${wording(value)}`);
  for (const [name, value] of Object.entries(match.withoutHeaders ?? {}))
    add(compileWithoutHeader(name, value), () => `no header ${name} ${wording(value)}`);
  for (const [name, value] of Object.entries(match.queryParams ?? {}))
    add(compileQueryParameter(name, value), () => `query parameter ${name} ${wording(value)}`);
  return clauses;
}

export function wording({ exact, prefix, pathPrefix, regex }: StringMatch): string {
  if (exact !== undefined) return `= \`${exact}\``;
  if (pathPrefix !== undefined) return `within \`${pathPrefix}\``;
  if (prefix !== undefined) return `under \`${prefix}\``;
  return regex === undefined || regex === "*" ? "present" : `~ \`${regex}\``;
}

export function conjunction(clauses: readonly MatchClause[]): RequestPredicate {
  const [first, second] = clauses;
  if (first === undefined) return () => true;
  if (second === undefined) return first.holds;
  return (request) => {
    for (const clause of clauses) if (!clause.holds(request)) return false;
    return true;
  };
}

function compileHeader(written: string, match: StringMatch): RequestPredicate {
  const claim = claimPath(written);
  if (claim !== undefined) return compileClaim(claim, match);
  const name = written.toLowerCase();
  if (isPresenceMatch(match)) return (request) => request.header(name) !== undefined;
  const test = compileStringMatch(match);
  return (request) => {
    const value = request.header(name);
    return value !== undefined && test(value);
  };
}

/** A missing header counts as an empty one, except where presence itself is asked for. */
function compileWithoutHeader(written: string, match: StringMatch): RequestPredicate {
  const claim = claimPath(written);
  if (claim !== undefined) {
    const test = compileClaim(claim, match);
    return (request) => !test(request);
  }
  const name = written.toLowerCase();
  if (isPresenceMatch(match)) return (request) => request.header(name) === undefined;
  const test = compileStringMatch(match);
  return (request) => !test(request.header(name) ?? "");
}

function compileQueryParameter(name: string, match: StringMatch): RequestPredicate {
  if (isPresenceMatch(match)) return (request) => request.queryParameter(name) !== undefined;
  const test = compileStringMatch(match);
  return (request) => {
    const value = request.queryParameter(name);
    return value !== undefined && test(value);
  };
}

const CLAIMS = "@request.auth.claims";

/** `@request.auth.claims[group][id]` or `@request.auth.claims.group.id`; undefined for a plain header. */
function claimPath(name: string): readonly string[] | undefined {
  if (!name.toLowerCase().startsWith(CLAIMS)) return undefined;
  const rest = name.slice(CLAIMS.length);
  if (rest.startsWith("[") && rest.endsWith("]")) return rest.slice(1, -1).split("][");
  return rest.startsWith(".") ? rest.slice(1).split(".") : undefined;
}

/** Holds where the claim is a string, or a list with a string, that matches. */
function compileClaim(path: readonly string[], match: StringMatch): RequestPredicate {
  const test = compileStringMatch(match);
  return (request) => {
    let value: unknown = request.claims;
    for (const key of path) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return false;
      value = (value as Record<string, unknown>)[key];
    }
    const values = Array.isArray(value) ? value : [value];
    return values.some((entry) => typeof entry === "string" && test(entry));
  };
}
