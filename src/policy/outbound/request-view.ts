/** A request as routes look at it: normalized once, query and headers taken apart only when a route asks. */

export interface RequestParts {
  readonly authority: string;
  readonly method: string;
  readonly headers: readonly string[];
  readonly roll?: number;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export class RequestView {
  readonly method: string;
  readonly authority: string;
  readonly headers: readonly string[];
  /** 0 ≤ roll < 1; 1 where the caller has none: then only faults of 100 % happen. */
  readonly roll: number;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** Path and query as they came. */
  readonly sent: string;
  /** Normalized path and query. */
  readonly path: string;
  /** `path` without its query. */
  readonly pathOnly: string;
  #query: ReadonlyMap<string, string> | undefined;

  constructor(parts: RequestParts, sent: string, path: string) {
    const query = path.indexOf("?");
    this.method = parts.method;
    this.authority = parts.authority;
    this.headers = parts.headers;
    this.roll = parts.roll ?? 1;
    this.claims = parts.claims;
    this.sent = sent;
    this.path = path;
    this.pathOnly = query < 0 ? path : path.slice(0, query);
  }

  /** `?` and what follows, or nothing. */
  get search(): string {
    return this.path.slice(this.pathOnly.length);
  }

  /** The values of a header, joined by commas, or undefined where it is missing. */
  header(name: string): string | undefined {
    let value: string | undefined;
    for (let index = 0; index + 1 < this.headers.length; index += 2) {
      if (this.headers[index] !== name) continue;
      const next = this.headers[index + 1] ?? "";
      value = value === undefined ? next : `${value},${next}`;
    }
    return value;
  }

  /** The first value of a query parameter as sent (not decoded), or undefined where it is missing. */
  queryParameter(name: string): string | undefined {
    this.#query ??= parseQuery(this.search);
    return this.#query.get(name);
  }
}

function parseQuery(search: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of search.slice(1).split("&")) {
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    if (pair !== "" && !parameters.has(name)) parameters.set(name, equals < 0 ? "" : pair.slice(equals + 1));
  }
  return parameters;
}

/** The name in an authority: without port, in lower case. IPv6 addresses keep their brackets. */
export function authorityHost(authority: string): string {
  const port = /:\d+$/.exec(authority);
  return (port === null ? authority : authority.slice(0, port.index)).toLowerCase();
}
