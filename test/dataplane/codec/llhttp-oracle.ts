import { createServer, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";

/** What Node's strict llhttp made of the bytes of one connection. */
export type LlhttpVerdict =
  | {
      readonly accepted: true;
      readonly body: Buffer | undefined;
      /** Method, target, and names and values as received. */
      readonly head: readonly string[];
    }
  | { readonly accepted: false; readonly code: string };

class Source extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

/**
 * Feeds the bytes to a http.Server on an in-memory stream and tells whether the head was accepted; with `wantBody`, whether
 * the whole first message was (body = its decoded data).
 */
export function askLlhttp(bytes: Buffer, wantBody = false): Promise<LlhttpVerdict> {
  return new Promise((resolve) => {
    const server = createServer({ insecureHTTPParser: false });
    const socket = new Source();
    const settle = (verdict: LlhttpVerdict) => {
      resolve(verdict);
      socket.destroy();
    };
    const headOf = (request: IncomingMessage) => [
      request.method ?? "",
      request.url ?? "",
      ...request.rawHeaders,
    ];
    const accept = (request: IncomingMessage) =>
      settle({ accepted: true, body: undefined, head: headOf(request) });
    server.on("request", (request) => {
      if (!wantBody) return accept(request);
      const parts: Buffer[] = [];
      request.on("error", () => settle({ accepted: false, code: "aborted" }));
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => settle({ accepted: true, body: Buffer.concat(parts), head: headOf(request) }));
    });
    for (const event of ["connect", "upgrade", "checkContinue", "checkExpectation"]) server.on(event, accept);
    server.on("clientError", (error: NodeJS.ErrnoException) =>
      settle({ accepted: false, code: error.code ?? "" }),
    );
    socket.on("error", () => {});
    socket.on("close", () => resolve({ accepted: false, code: "closed" }));
    server.emit("connection", socket);
    socket.push(bytes);
    socket.push(null);
  });
}
