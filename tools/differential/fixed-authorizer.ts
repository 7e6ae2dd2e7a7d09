/** The authorizers that a case's CUSTOM policies can name, and what they always answer. */
import { createServer, type Server } from "node:net";
import type {
  CheckRequest,
  CheckResponse,
  HeaderChange,
} from "../../src/dataplane/ext-authz/check-message.ts";
import { AuthorizerServers } from "../../test/dataplane/ext-authz/authorizer-servers.ts";

/** In the private network these are free. Nobody listens on the last. */
const GRPC_PORT = 9100;
const HTTP_PORT = 9101;
export const NOBODY_LISTENS = 9102;
export const AUTHORIZER_HOST = "authz.test";
export const AUTHORIZER_PORTS: readonly { readonly port: number; readonly grpc: boolean }[] = [
  { port: GRPC_PORT, grpc: true },
  { port: HTTP_PORT, grpc: false },
  { port: NOBODY_LISTENS, grpc: true },
];

/** Of a body, to those who are shown it. */
export const SHOWN_BYTES = 8;

const at = (port: number): object => ({ service: AUTHORIZER_HOST, port, timeout: "5s" });

/** MeshConfig's `extensionProviders`. */
export const PROVIDERS: readonly object[] = [
  { name: "grpc", envoyExtAuthzGrpc: at(GRPC_PORT) },
  {
    name: "http",
    envoyExtAuthzHttp: {
      ...at(HTTP_PORT),
      includeRequestHeadersInCheck: ["X-Role"],
      headersToUpstreamOnAllow: ["x-env", "x-role"],
      headersToDownstreamOnAllow: ["x-decided"],
      headersToDownstreamOnDeny: ["x-decided"],
    },
  },
  {
    name: "grpc-body",
    envoyExtAuthzGrpc: {
      ...at(GRPC_PORT),
      includeRequestBodyInCheck: { maxRequestBytes: SHOWN_BYTES, allowPartialMessage: true },
    },
  },
  {
    name: "http-body",
    envoyExtAuthzHttp: {
      ...at(HTTP_PORT),
      includeRequestHeadersInCheck: ["X-Role"],
      headersToUpstreamOnAllow: ["x-env", "x-role"],
      headersToDownstreamOnAllow: ["x-decided"],
      headersToDownstreamOnDeny: ["x-decided"],
      includeRequestBodyInCheck: { maxRequestBytes: SHOWN_BYTES },
    },
  },
  { name: "gone", envoyExtAuthzGrpc: { ...at(NOBODY_LISTENS), statusOnError: "503" } },
  { name: "gone-open", envoyExtAuthzGrpc: { ...at(NOBODY_LISTENS), failOpen: true } },
];

export interface FixedAnswer {
  /** HTTP status; 200: allowed. */
  readonly status: number;
  /** For the application, or for the caller where it is denied. */
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
  /** `x-decided`, for the caller. */
  readonly decided: string;
}

/** What a request looks like to an authorizer. */
export interface AskedRequest {
  /** Of the authorizer's own HTTP interface: Node's server answers 400 to methods that it does not know. */
  readonly overHttp: boolean;
  readonly method: string;
  readonly path: string;
  /** Every value of `x-role`, as a list joined by commas, or empty. */
  readonly role: string;
  /** As much of it as is shown. */
  readonly body: string;
}

/** The fixed rule. It changes headers that policies behind it ask for. */
export function fixedAnswer({ overHttp, method, path, role, body }: AskedRequest): FixedAnswer {
  if (overHttp && method !== method.toUpperCase()) return { status: 400, set: [], remove: [], decided: "" };
  const [first = ""] = role.split(",");
  if (method === "DELETE") return { status: 401, set: [], remove: [], decided: "no-deletes" };
  if (body.includes("evil")) return { status: 406, set: [], remove: [], decided: "no-evil" };
  if (path.includes("users")) return { status: 403, set: [], remove: [], decided: "no-users" };
  switch (first.trim()) {
    case "admin":
      return { status: 200, set: [["x-env", "prod"]], remove: [], decided: "admin" };
    case "dev":
      return { status: 200, set: [["x-role", "admin"]], remove: ["x-env"], decided: "dev" };
    case "ADMIN":
      return { status: 302, set: [], remove: [], decided: "shouting" };
    default:
      return { status: 200, set: [], remove: ["x-role"], decided: "nobody" };
  }
}

/** Of a connection only its ends are known. */
export function isFixedlyAllowed(sourceIp: string): boolean {
  return !sourceIp.endsWith(".9");
}

const set = ([name, value]: readonly [string, string]): HeaderChange => ({ name, value, action: "set" });

function grpcAnswer({ source, http }: CheckRequest): CheckResponse {
  const denial = { code: 7, ok: null, denied: null, error: null };
  const allowance = { code: 0, ok: null, denied: null, error: null };
  if (http === null) return isFixedlyAllowed(source.ip) ? allowance : denial;
  const { method, path, headers, body } = http;
  const answer = fixedAnswer({ overHttp: false, method, path, role: headers.get("x-role") ?? "", body });
  const told = [set(["x-decided", answer.decided])];
  if (answer.status !== 200) return { ...denial, denied: { status: answer.status, headers: told, body: "" } };
  const ok = {
    headers: answer.set.map(set),
    headersToRemove: answer.remove,
    responseHeaders: told,
    queryToSet: [],
    queryToRemove: [],
  };
  return { ...allowance, ok };
}

/** Serves them until it is stopped. */
export class FixedAuthorizers {
  readonly #servers = new AuthorizerServers();
  readonly #listening: readonly Server[];

  private constructor() {
    this.#servers.grpc = grpcAnswer;
    this.#servers.http = ({ method, path, headers, body }, response) => {
      const role = headers["x-role"] ?? "";
      const answer = fixedAnswer({ overHttp: true, method, path, role: String(role), body });
      response.setHeader("x-decided", answer.decided);
      if (answer.status === 200) {
        for (const [name, value] of answer.set) response.setHeader(name, value);
        if (answer.remove.length > 0)
          response.setHeader("x-envoy-auth-headers-to-remove", answer.remove.join(","));
      }
      response.writeHead(answer.status).end();
      // What was asked is of no interest here, and a long run asks often.
      this.#servers.httpChecks.length = 0;
      this.#servers.grpcChecks.length = 0;
    };
    this.#listening = [GRPC_PORT, HTTP_PORT].map((port) =>
      createServer(this.#servers.accept).listen(port, "127.0.0.1"),
    );
  }

  static async start(): Promise<FixedAuthorizers> {
    const made = new FixedAuthorizers();
    await Promise.all(made.#listening.map((server) => new Promise((done) => server.once("listening", done))));
    return made;
  }

  stop(): void {
    for (const server of this.#listening) server.close();
    for (const socket of this.#servers.sockets) socket.destroy();
  }
}
