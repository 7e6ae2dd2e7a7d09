import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { isSameSecret } from "./admin-methods.ts";
import { textField } from "./messages.ts";
import { type RpcHandler, RpcPeer } from "./rpc.ts";

export interface ControlServerOptions {
  readonly socketPath: string;
  /** A second socket, for the proxies of pods that run as other users: who comes by it can say `hello`, and is no admin. */
  readonly podSocketPath?: string;
  readonly adminToken: string;
  readonly welcomeProxy: (peer: RpcPeer, params: unknown) => Promise<unknown>;
  /** `sign` of a connection that has not said who it is. */
  readonly refuseSign: (params: unknown) => Promise<never>;
  readonly adminMethods: (peer: RpcPeer) => Readonly<Record<string, RpcHandler>>;
  readonly onInternalError: (error: unknown) => void;
}

/** Far above what a mesh on one machine has; it bounds what a runaway client can hold open. */
const MAX_CONNECTIONS = 1000;
/** A caller that does not say who it is in this time is cut off. */
const HELLO_TIMEOUT_MS = 10_000;
/** A batch of 4,096 flow records has about 3 MB; nothing that a client sends is larger. */
const MAX_CLIENT_MESSAGE_BYTES = 32 * 1024 * 1024;

/** The control plane's Unix socket. A connection can say who it is, and nothing else until it has. */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #servers: readonly { readonly path: string; readonly mode: number; readonly server: Server }[];
  readonly #peers = new Set<RpcPeer>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    const { socketPath, podSocketPath } = options;
    const own = createServer((socket) => this.#accept(socket, true));
    const pods = createServer((socket) => this.#accept(socket, false));
    this.#servers = [
      { path: socketPath, mode: 0o600, server: own },
      ...(podSocketPath === undefined ? [] : [{ path: podSocketPath, mode: 0o666, server: pods }]),
    ];
    for (const { server } of this.#servers) server.maxConnections = MAX_CONNECTIONS;
  }

  /** @throws {BulwarkError} BW_CONTROL_SOCKET */
  async listen(): Promise<void> {
    for (const { path, mode, server } of this.#servers) await this.#listen(path, mode, server);
  }

  #listen(socketPath: string, mode: number, server: Server): Promise<void> {
    // What a killed process left: nobody else uses this name, the state folder has one control.
    rmSync(socketPath, { force: true });
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) =>
        reject(
          new BulwarkError("BW_CONTROL_SOCKET", `cannot listen on ${socketPath}: ${cause.message}`, {
            cause,
          }),
        );
      server.once("error", fail);
      const umask = process.umask(0o177);
      server.listen(socketPath, () => {
        server.off("error", fail);
        server.on("error", (error) => this.#options.onInternalError(error));
        chmodSync(socketPath, mode);
        resolve();
      });
      process.umask(umask);
    });
  }

  close(): void {
    for (const { server } of this.#servers) server.close();
    for (const peer of this.#peers) peer.close();
    for (const { path } of this.#servers) rmSync(path, { force: true });
  }

  #accept(socket: Socket, mayBeAdmin: boolean): void {
    const { adminToken, adminMethods, welcomeProxy, refuseSign, onInternalError } = this.#options;
    const peer = new RpcPeer(socket, {
      limits: { maxMessageBytes: MAX_CLIENT_MESSAGE_BYTES },
      onInternalError,
      handlers: {
        admin: (params) => {
          if (!mayBeAdmin || !isSameSecret(textField(params, "token"), adminToken))
            throw new BulwarkError("BW_ADMIN_TOKEN", "the admin token is not the one of this mesh");
          clearTimeout(timer);
          peer.setHandlers(adminMethods(peer));
        },
        hello: async (params) => {
          const welcome = await welcomeProxy(peer, params);
          clearTimeout(timer);
          return welcome;
        },
        sign: refuseSign,
      },
    });
    const timer = setTimeout(() => peer.close(), HELLO_TIMEOUT_MS);
    this.#peers.add(peer);
    void peer.closed.then(() => {
      clearTimeout(timer);
      this.#peers.delete(peer);
    });
  }
}
