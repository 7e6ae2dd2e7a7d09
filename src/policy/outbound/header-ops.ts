import type { HeaderOperations, Headers } from "./resource-shapes.ts";
import type { HeaderOps } from "./types.ts";

export const NO_HEADER_OPS: HeaderOps = Object.freeze({ remove: [], set: [], add: [] });

export interface RouteHeaders {
  readonly request: HeaderOps;
  readonly response: HeaderOps;
  /** The Host header that `set` or `add` of Host asks for: it is a rewrite, not a header. */
  readonly authority?: string;
}

export function compileHeaders(headers: Headers | undefined): RouteHeaders {
  const request = headers?.request;
  const authority = authorityOf(request?.set) ?? authorityOf(request?.add);
  return {
    request: compileOperations(request),
    response: compileOperations(headers?.response),
    ...(authority === undefined ? {} : { authority }),
  };
}

/** The operations of a route's only destination after those of the route: what it sets replaces what the route added. */
export function joinHeaderOps(route: HeaderOps, destination: HeaderOps): HeaderOps {
  const replaced = new Set(destination.set.map(([name]) => name));
  return {
    remove: [...route.remove, ...destination.remove],
    set: [...route.set, ...destination.set],
    add: [...route.add.filter(([name]) => !replaced.has(name)), ...destination.add],
  };
}

function compileOperations(operations: HeaderOperations | undefined): HeaderOps {
  if (operations === undefined) return NO_HEADER_OPS;
  return {
    remove: (operations.remove ?? []).map((name) => name.toLowerCase()).filter(isPlain),
    set: entries(operations.set),
    add: entries(operations.add),
  };
}

function entries(headers: Readonly<Record<string, string>> | undefined): (readonly [string, string])[] {
  return Object.entries(headers ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name.toLowerCase(), String(value)] as const)
    .filter(([name]) => isPlain(name));
}

function isPlain(name: string): boolean {
  return !name.startsWith(":") && name !== "host";
}

function authorityOf(headers: Readonly<Record<string, string>> | undefined): string | undefined {
  let authority: string | undefined;
  for (const [name, value] of Object.entries(headers ?? {})) {
    const folded = name.toLowerCase();
    if ((folded === "host" || folded === ":authority") && value !== "") authority = String(value);
  }
  return authority;
}
