import type { Socket } from "node:net";
import { ByteStream } from "./byte-stream.ts";
import type { HttpService } from "./http-service.ts";
import { Http1Server } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import type { ProxyEnvironment } from "./proxy-environment.ts";

/** Serves HTTP on a connection of which it is known that it is HTTP, and which version: the one place where a server of either begins. */
export function serveHttp(socket: Socket, http2: boolean, service: HttpService, env: ProxyEnvironment): void {
  if (http2) serveHttp2(socket, service, env.http, env.http2, ignore);
  else new Http1Server(new ByteStream(socket, HANDED_OVER), service, env.http, ignore);
}

function ignore(): void {}

/** Whoever takes the stream over sets its own handler in its constructor. */
const HANDED_OVER = { onData: ignore, onDrain: ignore, onEnd: ignore, onClose: ignore };
