/** Fields about what is asked for: host, port, method, path, server name, headers. */
import type { Field, Predicate } from "./condition.ts";
import type { ForwardedForTrust } from "./forwarded-for.ts";
import { joinedField } from "./joined-field.ts";
import {
  isPathTemplate,
  matchesPathTemplate,
  type PathTemplate,
  parsePathTemplate,
} from "./path-template.ts";
import { type HeaderReader, proxyHeader } from "./proxy-headers.ts";
import {
  type ConditionKeys,
  HOST,
  METHOD,
  oneText,
  PATH,
  PORT,
  SERVER_NAME,
  type TextDimension,
} from "./rule-index/dimension.ts";
import { compileTextPatterns, matchesPresentText, matchesText, type TextPatterns } from "./text-pattern.ts";

function quoted(text: string | undefined): string {
  return text === undefined ? "nothing" : `\`${text}\``;
}

export const HOSTS: Field = {
  http: true,
  compile: (values) => {
    const patterns = compileTextPatterns(values.map((value) => value.toLowerCase()));
    return (_connection, request) => request !== null && matchesPresentText(patterns, request.host);
  },
  seen: (_connection, request) => quoted(request?.authority),
  keys: (values) => decisiveKeys(HOST, compileTextPatterns(values.map((value) => value.toLowerCase()))),
};

function decisiveKeys(dimension: TextDimension, patterns: TextPatterns): ConditionKeys {
  return { dimension, patterns, decisive: true };
}

export const METHODS: Field = {
  http: true,
  compile: (values) => {
    const patterns = compileTextPatterns(values);
    return (_connection, request) => request !== null && matchesPresentText(patterns, request.method);
  },
  seen: (_connection, request) => quoted(request?.method),
  keys: (values) => decisiveKeys(METHOD, compileTextPatterns(values)),
};

export const PATHS: Field = {
  http: true,
  compile: compilePaths,
  seen: (_connection, request) => quoted(request?.pathOnly),
  keys: (values) => {
    const written = compileTextPatterns(values.filter((value) => !isPathTemplate(value)));
    const heads = values.filter(isPathTemplate).map((value) => parsePathTemplate(value)?.head[0] ?? "");
    return {
      dimension: PATH,
      patterns: { ...written, prefixes: [...written.prefixes, ...heads] },
      decisive: heads.length === 0,
    };
  },
};

function compilePaths(values: readonly string[]): Predicate | undefined {
  const patterns = compileTextPatterns(values.filter((value) => !isPathTemplate(value)));
  const templates: PathTemplate[] = [];
  for (const value of values) {
    if (!isPathTemplate(value)) continue;
    const template = parsePathTemplate(value);
    if (template === undefined) return undefined;
    templates.push(template);
  }
  return (_connection, request) => {
    if (request === null) return false;
    if (matchesText(patterns, request.pathOnly)) return true;
    for (const template of templates) if (matchesPathTemplate(template, request.pathOnly)) return true;
    return false;
  };
}

export const PORTS: Field = {
  http: false,
  compile: (values) => {
    if (!values.every((value) => /^\d{1,5}$/.test(value) && Number(value) <= 65535)) return undefined;
    const ports = new Set(values.map(Number));
    return (connection) => ports.has(connection.destinationPort);
  },
  seen: (connection) => String(connection.destinationPort),
  keys: (values) => ({ dimension: PORT, ports: [...new Set(values.map(Number))] }),
};

export const SNI: Field = {
  http: false,
  compile: (values) => {
    const patterns = compileTextPatterns(values);
    return (connection) => matchesText(patterns, connection.sni);
  },
  seen: (connection) => (connection.sni === "" ? "no server name" : quoted(connection.sni)),
  keys: (values) => decisiveKeys(SERVER_NAME, compileTextPatterns(values)),
};

/** `request.headers[<name>]`. Repeated fields match one by one, but for those that Envoy keeps as one list. */
export function headerField(name: string): Field {
  const lower = name.toLowerCase();
  const read =
    PSEUDO_HEADERS.get(lower) ??
    proxyHeader(lower) ??
    (JOINED_HEADERS.has(lower) ? joinedHeader(lower) : undefined);
  return {
    http: true,
    compile: (values, { forwardedFor }) => {
      const patterns = compileTextPatterns(values);
      return read === undefined
        ? someFieldMatches(lower, patterns)
        : wholeMatches(read, patterns, forwardedFor);
    },
    seen: (connection, request, { forwardedFor }) => {
      if (request === null) return "nothing";
      if (read !== undefined) return quoted(read(request, connection, forwardedFor) ?? undefined);
      const values = request.headers.filter(
        (_value, index) => index % 2 === 1 && request.headers[index - 1] === lower,
      );
      return values.length === 0 ? "no such header" : values.map(quoted).join(", ");
    },
    keys: (values, { forwardedFor }) => ({
      dimension:
        read === undefined
          ? repeatedHeader(lower)
          : oneText(`header ${lower}`, (connection, request) =>
              request === null ? null : read(request, connection, forwardedFor),
            ),
      patterns: compileTextPatterns(values),
      decisive: false,
    }),
  };
}

function repeatedHeader(name: string): TextDimension {
  return {
    kind: "text",
    id: `header ${name}`,
    repeats: true,
    next: (_connection, request, after) => {
      if (request === null) return -1;
      const { headers } = request;
      for (let index = after < 0 ? 0 : after + 2; index < headers.length; index += 2) {
        if (headers[index] === name) return index;
      }
      return -1;
    },
    textAt: (_connection, request, cursor) => request?.headers[cursor + 1] ?? "",
  };
}

function someFieldMatches(name: string, patterns: TextPatterns): Predicate {
  return (_connection, request) => {
    if (request === null) return false;
    const { headers } = request;
    for (let index = 0; index < headers.length; index += 2) {
      if (headers[index] === name && matchesPresentText(patterns, headers[index + 1] ?? "")) return true;
    }
    return false;
  };
}

function wholeMatches(
  read: HeaderReader,
  patterns: TextPatterns,
  forwardedFor: ForwardedForTrust,
): Predicate {
  return (connection, request) => {
    const value = request === null ? null : read(request, connection, forwardedFor);
    return value !== null && matchesPresentText(patterns, value);
  };
}

function joinedHeader(name: string): HeaderReader {
  return ({ headers }) => joinedField(headers, name);
}

/** Headers that Envoy 1.40 keeps once, repeats joined by a comma; found by asking it. */
const JOINED_HEADERS: ReadonlySet<string> = new Set(
  `accept accept-encoding access-control-request-headers access-control-request-method authorization cache-control
   content-encoding content-type expect grpc-accept-encoding grpc-timeout if-modified-since if-none-match origin pragma
   referer te user-agent via x-client-trace-id x-forwarded-host x-forwarded-port`.split(/\s+/),
);

/** Whether the name's repeats are one text, joined by commas, before rules look at them. In lower case. */
export function isJoinedHeader(name: string): boolean {
  return JOINED_HEADERS.has(name);
}

const REQUEST_ID = joinedHeader("x-request-id");

/** Headers that are not, or not only, what the client sent: pseudo-headers, and those that Envoy removes or always sets. */
const PSEUDO_HEADERS: ReadonlyMap<string, HeaderReader> = new Map<string, HeaderReader>([
  [":method", (request) => request.method],
  [":path", (request) => request.forwardedPath],
  [":authority", (request) => request.authority],
  ["host", (request) => request.authority],
  ["x-request-id", (...facts) => REQUEST_ID(...facts) ?? ""],
  ["connection", () => null],
  ["x-envoy-internal", () => null],
]);
