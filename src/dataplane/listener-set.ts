import { createServer, type Server, type Socket } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** A socket that listens, in another network than this process's own. @returns its file descriptor. */
export type Bind = (address: string, port: number) => number;

/** Sockets that listen for one proxy; configuration changes open and close them, connections that are there stay. */
export class ListenerSet {
  /** By address and port. */
  readonly #servers = new Map<string, Server>();
  readonly #addresses: readonly string[];
  readonly #maxConnections: number;
  readonly #sockets: Set<Socket>;
  readonly #bind: Bind | undefined;
  #open = 0;

  /**
   * @param addresses each port listens on all of them; `::` is IPv6 alone, so that no client's address comes in two spellings.
   * @param sockets where open connections are kept, each by the socket that may be destroyed.
   * @param bind makes listening sockets where not by Node itself.
   */
  constructor(addresses: readonly string[], maxConnections: number, sockets: Set<Socket>, bind?: Bind) {
    this.#addresses = addresses;
    this.#maxConnections = maxConnections;
    this.#sockets = sockets;
    this.#bind = bind;
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
    const wanted = new Map(
      [...ports].flatMap(([port, accept]) =>
        this.#addresses.map((address) => [`${address} ${port}`, { address, port, accept }]),
      ),
    );
    for (const [place, server] of this.#servers) {
      if (wanted.has(place)) continue;
      server.close();
      this.#servers.delete(place);
    }
    const failures: string[] = [];
    for (const [place, { address, port, accept }] of wanted) {
      if (!this.#servers.has(place))
        await this.#listen(place, address, port, accept).catch((error: Error) =>
          failures.push(error.message),
        );
    }
    if (failures.length > 0) throw new BulwarkError("BW_LISTEN_FAILED", failures.join("; "));
  }

  /** Stops listening; connections go on. */
  async stop(): Promise<void> {
    await this.set(new Map());
  }

  async #listen(
    place: string,
    address: string,
    port: number,
    accept: (socket: Socket) => void,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket, accept),
    );
    server.on("error", reject);
    const onListening = () => {
      this.#servers.set(place, server);
      resolve();
    };
    if (this.#bind === undefined) server.listen({ port, host: address, ipv6Only: true }, onListening);
    else server.listen({ fd: this.#bind(address, port) }, onListening);
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
