/** Where tokens are in a request, as Envoy's jwt_authn filter looks for them. */
import type { FlatHeaders } from "../http-request.ts";
import { joinedField } from "../joined-field.ts";
import type { JwtLocations } from "./jwt-policy.ts";

/** A token, and what to remove when it is not to go on: a header or a query parameter. Cookies stay. */
export interface FoundToken {
  readonly text: string;
  readonly headers: readonly string[];
  readonly params: readonly string[];
}

/** Tokens in the order in which Envoy collects them (it verifies the last one first). */
export function extractTokens(
  locations: JwtLocations,
  request: { readonly headers: FlatHeaders; readonly path: string },
): readonly FoundToken[] {
  const tokens: FoundToken[] = [];
  // Envoy keeps header locations in a map by name and prefix.
  const headers = locations.headers.toSorted((a, b) => (a.name + a.prefix < b.name + b.prefix ? -1 : 1));
  for (const { name, prefix } of headers) {
    for (const text of fromHeader(request.headers, name, prefix))
      tokens.push({ text, headers: [name], params: [] });
  }
  for (const name of locations.params) {
    const text = queryParameter(request.path, name);
    if (text !== null) tokens.push({ text, headers: [], params: [name] });
  }
  for (const name of locations.cookies) {
    const text = cookie(request.headers, name);
    if (text !== null) tokens.push({ text, headers: [], params: [] });
  }
  return tokens;
}

/** Envoy keeps repeated Authorization as one list; of other headers each may hold a token. */
function fromHeader(headers: FlatHeaders, name: string, prefix: string): readonly string[] {
  const values =
    name === "authorization"
      ? [joinedField(headers, name)].filter((value) => value !== null)
      : valuesOf(headers, name);
  return values.flatMap((value) => tokenIn(value, prefix) ?? []);
}

function valuesOf(headers: FlatHeaders, name: string): readonly string[] {
  return headers.filter((_value, index) => index % 2 === 1 && headers[index - 1] === name);
}

/** Envoy finds the prefix anywhere, and skips what cannot begin a token. */
function tokenIn(value: string, prefix: string): string | undefined {
  if (prefix === "") return value;
  const at = value.indexOf(prefix);
  if (at < 0) return undefined;
  const start = value.slice(at + prefix.length).search(/[A-Za-z0-9_.-]/);
  return start < 0 ? value : value.slice(at + prefix.length + start);
}

function queryParameter(path: string, name: string): string | null {
  const mark = path.indexOf("?");
  if (mark < 0) return null;
  for (const pair of path.slice(mark + 1).split("&")) {
    const equals = pair.indexOf("=");
    if (parameterName(pair) === name) return equals < 0 ? "" : percentDecode(pair.slice(equals + 1));
  }
  return null;
}

function parameterName(pair: string): string {
  const equals = pair.indexOf("=");
  return percentDecode(equals < 0 ? pair : pair.slice(0, equals));
}

/** The path without these query parameters; what is left of the query stays as it was written. */
export function withoutParameters(path: string, names: readonly string[]): string {
  const mark = path.indexOf("?");
  if (mark < 0) return path;
  const kept = path
    .slice(mark + 1)
    .split("&")
    .filter((pair) => !names.includes(parameterName(pair)));
  return kept.length === 0 ? path.slice(0, mark) : `${path.slice(0, mark)}?${kept.join("&")}`;
}

/** Broken escapes stay as they are; tokens have none. */
function percentDecode(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_match, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

function cookie(headers: FlatHeaders, name: string): string | null {
  for (const pair of valuesOf(headers, "cookie").join(";").split(";")) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return /^".*"$/.test(value) ? value.slice(1, -1) : value;
  }
  return null;
}
