import { createServer, type Server, type Socket } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** Sockets that listen for one proxy; configuration changes open and close them, connections that are there stay. */
export class ListenerSet {
  readonly #servers = new Map<number, Server>();
  readonly #address: string;
  readonly #maxConnections: number;
  readonly #sockets: Set<Socket>;
  #open = 0;

  /** @param sockets where open connections are kept, each by the socket that may be destroyed. */
  constructor(address: string, maxConnections: number, sockets: Set<Socket>) {
    this.#address = address;
    this.#maxConnections = maxConnections;
    this.#sockets = sockets;
  }

  get openConnections(): number {
    return this.#open;
  }

  /**
   * Makes these, and only these, socket ports listen.
   * @param ports socket port → what to do with a connection.
   * @throws {BulwarkError} BW_LISTEN_FAILED, with those that could be opened open.
   */
  async set(ports: ReadonlyMap<number, (socket: Socket) => void>): Promise<void> {
    for (const [port, server] of this.#servers) {
      if (ports.has(port)) continue;
      server.close();
      this.#servers.delete(port);
    }
    const failures: string[] = [];
    for (const [port, accept] of ports) {
      if (!this.#servers.has(port))
        await this.#listen(port, accept).catch((error: Error) => failures.push(error.message));
    }
    if (failures.length > 0) throw new BulwarkError("BW_LISTEN_FAILED", failures.join("; "));
  }

  /** Stops listening; connections go on. */
  async stop(): Promise<void> {
    await this.set(new Map());
  }

  #listen(port: number, accept: (socket: Socket) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket, accept),
    );
    server.on("error", reject);
    server.listen(port, this.#address, () => {
      this.#servers.set(port, server);
      resolve();
    });
    return promise;
  }

  #accept(socket: Socket, accept: (socket: Socket) => void): void {
    socket.on("error", ignore);
    if (this.#open >= this.#maxConnections) {
      socket.destroy();
      return;
    }
    this.#open += 1;
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#open -= 1;
      this.#sockets.delete(socket);
    });
    accept(socket);
  }
}

/** An error is followed by `close`. */
function ignore(): void {}
