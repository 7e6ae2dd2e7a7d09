import { type Field, quoted } from "./field.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~A-Za-z0-9]+$/;
const PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path", ":status"]);

/** The name of a header to match, or `@request.auth.claims…` for a claim of the token. */
export function checkMatchedHeader(match: Field, name: string): void {
  if (isClaimRoute(name) || PSEUDO.has(name) || TOKEN.test(name)) return;
  match.errorAtKey(
    "BW1223_HEADER",
    name === "" ? "a header name must not be empty" : `${quoted(name)} is no header name`,
  );
}

export function isClaimRoute(name: string): boolean {
  const prefix = "@request.auth.claims";
  if (!name.toLowerCase().startsWith(prefix)) return false;
  const rest = name.slice(prefix.length);
  return /^\..+/s.test(rest) || (rest.startsWith("[") && rest.endsWith("]") && rest.length > 2);
}

/** CORS header names; `*` is allowed. */
export function checkCorsHeader(name: Field): void {
  if (name.text === "*" || TOKEN.test(name.text)) return;
  name.error("BW1229_CORS", `\`${name.name}\` is ${quoted(name.text)}, which is no header name`);
}

/** What a route adds, sets and removes, in requests and responses. */
export function checkHeaderOperations(headers: Field): void {
  for (const side of ["request", "response"] as const) {
    for (const operation of ["add", "set"] as const) {
      for (const [name, value] of headers.at(side, operation).entries()) {
        checkChangedName(value, name, side === "request");
        checkHeaderValue(value);
      }
    }
    for (const name of headers.at(side, "remove").items()) checkChangedName(name, name.text, false);
  }
}

function checkChangedName(field: Field, name: string, mayBeAuthority: boolean): void {
  const lower = name.toLowerCase();
  if (name === "") headerProblem(field, "a header name must not be empty");
  else if (mayBeAuthority && (lower === "host" || lower === ":authority")) return;
  else if (lower === "host") headerProblem(field, "the Host header cannot be changed here");
  else if (name.startsWith(":")) headerProblem(field, `${quoted(name)}: pseudo headers cannot be changed`);
}

function headerProblem(field: Field, message: string): void {
  field.errorAtKey("BW1223_HEADER", message, "use `rewrite.authority` to change the host");
}

/** `rewrite.authority` and the host header of `request.set` and `request.add`: one of them at most. */
export function checkAuthorityOnce(rewrite: Field, headers: Field): void {
  let written = rewrite.at("authority").text;
  for (const operation of ["set", "add"] as const) {
    for (const [name, value] of headers.at("request", operation).entries()) {
      if (name.toLowerCase() !== "host" && name.toLowerCase() !== ":authority") continue;
      if (written !== "") {
        value.errorAtKey(
          "BW1223_HEADER",
          `the authority is set twice: to ${quoted(written)} and to ${quoted(value.text)}`,
          "keep one",
        );
        return;
      }
      written = value.text;
    }
  }
}

/** Envoy formats header values: a `%` starts a variable and must be closed, or doubled. */
function checkHeaderValue(value: Field): void {
  const problem = hasControlCharacter(value.text) ? "has a control character" : formatProblem(value.text);
  if (problem === undefined) return;
  value.error(
    "BW1223_HEADER",
    `the header value ${quoted(value.text)} ${problem}`,
    "write `%%` for a percent sign, `%NAME%` or `%NAME(argument)%` for a variable",
  );
}

/** Controls other than the tab (RFC 9110 §5.5). */
function hasControlCharacter(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

type State =
  | "literal"
  | "name"
  | "array"
  | "string-start"
  | "string"
  | "delimiter"
  | "arguments-end"
  | "variable-end";

/** The grammar of Envoy's header formatter. */
function formatProblem(text: string): string | undefined {
  let state: State = "literal";
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    const last = at + 1 >= text.length;
    if ((state === "literal" && char === "%") || (state === "string" && char === "\\")) {
      if (last) return state === "literal" ? "ends in a single `%`" : "ends in a backslash";
      if (state === "string" || text.charAt(at + 1) === "%") {
        at++;
        continue;
      }
    }
    const next: State | undefined = NEXT[state](char);
    if (next === undefined) return `has ${quoted(char)} where the variable does not allow it`;
    state = next;
  }
  return state === "literal" ? undefined : "has a variable that is not closed";
}

const stay = (state: State, char: string): State | undefined => (char === " " ? state : undefined);

const NEXT: Readonly<Record<State, (char: string) => State | undefined>> = {
  literal: (char) => (char === "%" ? "name" : "literal"),
  name: (char) => (char === "%" ? "literal" : char === "(" ? "array" : "name"),
  array: (char) => (char === "[" ? "string-start" : char === " " ? "array" : "string"),
  "string-start": (char) => (char === '"' ? "string" : stay("string-start", char)),
  string: (char) => (char === ")" ? "variable-end" : char === '"' ? "delimiter" : "string"),
  delimiter: (char) =>
    char === "," ? "string-start" : char === "]" ? "arguments-end" : stay("delimiter", char),
  "arguments-end": (char) => (char === ")" ? "variable-end" : stay("arguments-end", char)),
  "variable-end": (char) => (char === "%" ? "literal" : stay("variable-end", char)),
};
