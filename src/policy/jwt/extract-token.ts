/** Where tokens are in a request, as Envoy's jwt_authn filter looks for them. */
import type { FlatHeaders, HttpRequest } from "../http-request.ts";
import type { JwtLocations } from "./jwt-policy.ts";

/** A token, and the header to remove when it is not to go on; null for parameters and cookies, which stay. */
export interface FoundToken {
  readonly text: string;
  readonly header: string | null;
}

/** Tokens in the order in which Envoy collects them (it verifies the last one first). */
export function extractTokens(locations: JwtLocations, request: HttpRequest): readonly FoundToken[] {
  const tokens: FoundToken[] = [];
  // Envoy keeps header locations in a map by name and prefix.
  const headers = locations.headers.toSorted((a, b) => (a.name + a.prefix < b.name + b.prefix ? -1 : 1));
  for (const { name, prefix } of headers) {
    const text = fromHeader(request.headers, name, prefix);
    if (text !== null) tokens.push({ text, header: name });
  }
  for (const name of locations.params) {
    const text = queryParameter(request.path, name);
    if (text !== null) tokens.push({ text, header: null });
  }
  for (const name of locations.cookies) {
    const text = cookie(request.headers, name);
    if (text !== null) tokens.push({ text, header: null });
  }
  return tokens;
}

function fromHeader(headers: FlatHeaders, name: string, prefix: string): string | null {
  // Of the headers that hold tokens, Envoy joins only repeated Authorization; of others it takes the first.
  const value = name === "authorization" ? joinHeader(headers, name, ",") : firstHeader(headers, name);
  if (value === null) return null;
  if (prefix === "") return value;
  // Envoy finds the prefix anywhere, and skips what cannot begin a token.
  const at = value.indexOf(prefix);
  if (at < 0) return null;
  const start = value.slice(at + prefix.length).search(/[A-Za-z0-9_.-]/);
  return start < 0 ? value : value.slice(at + prefix.length + start);
}

function firstHeader(headers: FlatHeaders, name: string): string | null {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1] ?? "";
  }
  return null;
}

function joinHeader(headers: FlatHeaders, name: string, separator: string): string | null {
  let joined: string | null = null;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue;
    const value = headers[index + 1] ?? "";
    joined = joined === null ? value : joined + separator + value;
  }
  return joined;
}

function queryParameter(path: string, name: string): string | null {
  const mark = path.indexOf("?");
  if (mark < 0) return null;
  for (const pair of path.slice(mark + 1).split("&")) {
    const equals = pair.indexOf("=");
    if (percentDecode(equals < 0 ? pair : pair.slice(0, equals)) === name)
      return equals < 0 ? "" : percentDecode(pair.slice(equals + 1));
  }
  return null;
}

/** Broken escapes stay as they are; tokens have none. */
function percentDecode(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_match, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

function cookie(headers: FlatHeaders, name: string): string | null {
  for (const pair of (joinHeader(headers, "cookie", "; ") ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return /^".*"$/.test(value) && value.length > 1 ? value.slice(1, -1) : value;
  }
  return null;
}
