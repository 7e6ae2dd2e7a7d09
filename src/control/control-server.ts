import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { isSameSecret } from "./admin-methods.ts";
import { textField } from "./messages.ts";
import { type RpcHandler, RpcPeer } from "./rpc.ts";

export interface ControlServerOptions {
  readonly socketPath: string;
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
  readonly #server: Server;
  readonly #peers = new Set<RpcPeer>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** @throws {BulwarkError} BW_CONTROL_SOCKET */
  listen(): Promise<void> {
    const { socketPath } = this.#options;
    // What a killed process left: nobody else uses this name, the state folder has one control.
    rmSync(socketPath, { force: true });
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) =>
        reject(
          new BulwarkError("BW_CONTROL_SOCKET", `cannot listen on ${socketPath}: ${cause.message}`, {
            cause,
          }),
        );
      this.#server.once("error", fail);
      const umask = process.umask(0o177);
      this.#server.listen(socketPath, () => {
        this.#server.off("error", fail);
        this.#server.on("error", (error) => this.#options.onInternalError(error));
        chmodSync(socketPath, 0o600);
        resolve();
      });
      process.umask(umask);
    });
  }

  close(): void {
    this.#server.close();
    for (const peer of this.#peers) peer.close();
    rmSync(this.#options.socketPath, { force: true });
  }

  #accept(socket: Socket): void {
    const { adminToken, adminMethods, welcomeProxy, refuseSign, onInternalError } = this.#options;
    const peer = new RpcPeer(socket, {
      limits: { maxMessageBytes: MAX_CLIENT_MESSAGE_BYTES },
      onInternalError,
      handlers: {
        admin: (params) => {
          if (!isSameSecret(textField(params, "token"), adminToken))
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
