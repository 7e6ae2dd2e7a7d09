/** Clients in closed loops through a sidecar's outbound port, and what they measured. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface Entry {
  readonly host: string;
  readonly port: number;
  /** Of the Proxy-Authorization header. */
  readonly credential: string;
}

export interface LoadResult {
  /** Requests, MiB, or connections. */
  readonly done: number;
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
}

/** GETs on `connections` kept-alive connections. */
export async function requests(
  entry: Entry,
  connections: number,
  path: string,
  seconds: number,
): Promise<LoadResult> {
  const head = `GET http://s.n:8080${path} HTTP/1.1\r\nhost: s.n:8080\r\nproxy-authorization: Basic ${entry.credential}\r\n\r\n`;
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect(entry.port, entry.host).setNoDelay(true);
      await once(socket, "connect");
      while (performance.now() < endMs) {
        const beganMs = performance.now();
        socket.write(head);
        await response(socket);
        latenciesMs.push(performance.now() - beganMs);
      }
      socket.destroy();
    }),
  );
  return { done: latenciesMs.length, seconds: (performance.now() - startMs) / 1000, latenciesMs };
}

function response(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    let left = -1;
    const onData = (chunk: Buffer): void => {
      if (left < 0) {
        text += chunk.toString("latin1");
        const end = text.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!text.startsWith("HTTP/1.1 200")) {
          finish(new Error(text.slice(0, 300)));
          return;
        }
        left = Number(/content-length: (\d+)/i.exec(text)?.[1]) - (text.length - end - 4);
      } else left -= chunk.length;
      if (left === 0) finish();
    };
    const onClose = (): void => finish(new Error("closed"));
    const finish = (error?: Error): void => {
      socket.off("data", onData).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.on("data", onData).on("close", onClose);
  });
}

/** A tunnel to the echo. */
async function tunnel({ host, port, credential }: Entry, target: string): Promise<Socket> {
  const socket = connect(port, host).setNoDelay(true);
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (!answer.toString("latin1").startsWith("HTTP/1.1 200")) throw new Error(answer.toString("latin1"));
  return socket;
}

/** Bytes that the server sends on `connections` connections at once, MiB. */
export async function stream(entry: Entry, connections: number, seconds: number): Promise<LoadResult> {
  let bytes = 0;
  const sockets = await Promise.all(Array.from({ length: connections }, () => tunnel(entry, "s.n:9000")));
  const startMs = performance.now();
  for (const socket of sockets) {
    socket
      .on("error", () => {})
      .on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
    socket.write("go");
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const elapsed = (performance.now() - startMs) / 1000;
  for (const socket of sockets) socket.destroy();
  return { done: bytes / 2 ** 20, seconds: elapsed, latenciesMs: [] };
}

/** New connections, one byte there and one back each, `parallel` at a time. */
export async function connections(entry: Entry, parallel: number, seconds: number): Promise<LoadResult> {
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (performance.now() < endMs) {
        const beganMs = performance.now();
        const socket = await tunnel(entry, "s.n:9001");
        socket.write("x");
        await once(socket, "data");
        latenciesMs.push(performance.now() - beganMs);
        socket.end();
        await once(socket, "close");
      }
    }),
  );
  return { done: latenciesMs.length, seconds: (performance.now() - startMs) / 1000, latenciesMs };
}
