/** Fields about what is asked for: host, port, method, path, server name, headers. */
import type { Field, Predicate } from "./condition.ts";
import type { Connection } from "./connection.ts";
import type { HttpRequest } from "./http-request.ts";
import {
  isPathTemplate,
  matchesPathTemplate,
  type PathTemplate,
  parsePathTemplate,
} from "./path-template.ts";
import { compileTextPatterns, matchesPresentText, matchesText } from "./text-pattern.ts";

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
};

export const METHODS: Field = {
  http: true,
  compile: (values) => {
    const patterns = compileTextPatterns(values);
    return (_connection, request) => request !== null && matchesPresentText(patterns, request.method);
  },
  seen: (_connection, request) => quoted(request?.method),
};

export const PATHS: Field = {
  http: true,
  compile: compilePaths,
  seen: (_connection, request) => quoted(request?.pathOnly),
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
};

export const SNI: Field = {
  http: false,
  compile: (values) => {
    const patterns = compileTextPatterns(values);
    return (connection) => matchesText(patterns, connection.sni);
  },
  seen: (connection) => (connection.sni === "" ? "no server name" : quoted(connection.sni)),
};

/** `request.headers[<name>]`. Repeated fields match one by one. */
export function headerField(name: string): Field {
  const lower = name.toLowerCase();
  const pseudo = PSEUDO_HEADERS.get(lower);
  return {
    http: true,
    compile: (values) => {
      const patterns = compileTextPatterns(values);
      if (pseudo !== undefined) {
        return (_connection, request) => request !== null && matchesPresentText(patterns, pseudo(request));
      }
      return (_connection, request) => {
        if (request === null) return false;
        const { headers } = request;
        for (let index = 0; index < headers.length; index += 2) {
          if (headers[index] === lower && matchesPresentText(patterns, headers[index + 1] ?? "")) return true;
        }
        return false;
      };
    },
    seen: (_connection: Connection, request) => {
      if (request === null) return "nothing";
      if (pseudo !== undefined) return quoted(pseudo(request));
      const values = request.headers.filter(
        (_value, index) => request.headers[index - 1] === lower && index % 2 === 1,
      );
      return values.length === 0 ? "no such header" : values.map(quoted).join(", ");
    },
  };
}

/** What HTTP/2 calls pseudo-headers, and Host, which Envoy keeps as one of them. */
const PSEUDO_HEADERS: ReadonlyMap<string, (request: HttpRequest) => string> = new Map([
  [":method", (request) => request.method],
  [":path", (request) => request.path],
  [":authority", (request) => request.authority],
  ["host", (request) => request.authority],
]);
