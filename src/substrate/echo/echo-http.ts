import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { parseForwardedClientCert } from "./forwarded-client-cert.ts";

/** Who answers: a workload's replica, or a stand-in for an external host. */
export type EchoSelf =
  | { readonly workload: string; readonly pod: string; readonly port: number }
  | { readonly standIn: string; readonly port: number };

const MAX_DELAY_MS = 600_000;
const MAX_BYTES = 2 ** 40;
const CHUNK = Buffer.alloc(65_536, "0123456789abcdef");

/**
 * The built-in application: answers with what it saw, as JSON. `/echo` and every gRPC call give the body back as it comes,
 * `/status/N` answers with that status, `/delay/MS` after that time, `/bytes/N` with so many bytes.
 */
export function echoHttp(self: EchoSelf): RequestListener {
  return (request, response) => {
    request.on("error", () => response.destroy());
    response.on("error", () => request.destroy());
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const [, command, amount] = /^\/(status|delay|bytes)\/(\d{1,13})$/.exec(path) ?? [];
    if (path === "/echo" || isGrpc(request)) giveBack(request, response);
    else if (command === "bytes") sendBytes(response, Math.min(Number(amount), MAX_BYTES));
    else if (command === "delay") {
      const timer = setTimeout(
        () => describe(self, request, response, 200),
        Math.min(Number(amount), MAX_DELAY_MS),
      );
      response.on("close", () => clearTimeout(timer));
    } else describe(self, request, response, command === "status" ? statusOf(amount) : 200);
  };
}

function statusOf(text: string | undefined): number {
  const status = Number(text);
  return status >= 200 && status <= 599 ? status : 400;
}

function isGrpc(request: IncomingMessage): boolean {
  return request.headers["content-type"]?.startsWith("application/grpc") === true;
}

function giveBack(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader("content-type", request.headers["content-type"] ?? "application/octet-stream");
  if (isGrpc(request)) {
    response.setHeader("trailer", "grpc-status");
    response.addTrailers({ "grpc-status": "0" });
  }
  pipeline(request, response, () => {});
}

function sendBytes(response: ServerResponse, total: number): void {
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", total);
  pipeline(Readable.from(chunks(total)), response, () => {});
}

function* chunks(total: number): Generator<Buffer> {
  for (let left = total; left > 0; left -= CHUNK.length)
    yield left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
}

/** Reads the whole body first, counting only: a client may be sending one and must not be answered into it. */
function describe(self: EchoSelf, request: IncomingMessage, response: ServerResponse, status: number): void {
  let bodyBytes = 0;
  request.on("data", (chunk: Buffer) => {
    bodyBytes += chunk.length;
  });
  request.on("end", () => {
    if (response.destroyed) return;
    const noBody = status === 204 || status === 304;
    const text = noBody ? "" : `${JSON.stringify(report(self, request, bodyBytes))}\n`;
    if (!noBody) {
      response.setHeader("content-type", "application/json");
      response.setHeader("content-length", Buffer.byteLength(text));
    }
    response.writeHead(status);
    response.end(text);
  });
}

function report(self: EchoSelf, request: IncomingMessage, bodyBytes: number): Record<string, unknown> {
  const { authorization, ...headers } = request.headers;
  const xfcc = request.headers["x-forwarded-client-cert"];
  const serverName = (request.socket as Partial<TLSSocket>).servername;
  return {
    ...self,
    protocol: `HTTP/${request.httpVersion}`,
    method: request.method,
    path: request.url,
    host: request.headers.host ?? request.headers[":authority"],
    ...(typeof serverName === "string" && serverName !== "" ? { sni: serverName } : {}),
    peer: typeof xfcc === "string" ? parseForwardedClientCert(xfcc) : [],
    // A credential is not repeated into terminals and test logs.
    headers: authorization === undefined ? headers : { ...headers, authorization: "(present)" },
    bodyBytes,
  };
}
