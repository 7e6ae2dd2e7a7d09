import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { isRunning } from "./process-identity.ts";
import { type RpcHandler, RpcPeer } from "./rpc.ts";
import { readRunBook } from "./run-book.ts";
import type { StateFolder } from "./state-folder.ts";

/** @throws {BulwarkError} BW_CONTROL_UNREACHABLE */
export function dialControl(
  socketPath: string,
  handlers: Readonly<Record<string, RpcHandler>> = {},
): Promise<RpcPeer> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const fail = (cause: Error) =>
      reject(new BulwarkError("BW_CONTROL_UNREACHABLE", "no mesh runs on this state folder", { cause }));
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      resolve(new RpcPeer(socket, { handlers }));
    });
  });
}

/**
 * A connection as the command line has it.
 * @throws {BulwarkError} BW_CONTROL_UNREACHABLE when no mesh runs there, BW_ADMIN_TOKEN.
 */
export async function connectAdmin(
  state: StateFolder,
  handlers: Readonly<Record<string, RpcHandler>> = {},
): Promise<RpcPeer> {
  const peer = await dialControl(state.controlSocket, handlers).catch((cause) => {
    throw new BulwarkError("BW_CONTROL_UNREACHABLE", whatRuns(state), { cause });
  });
  await peer.request("admin", { token: adminToken(state) }, 10_000);
  return peer;
}

/** Why control does not answer: there is no mesh, or control alone is away, or all of it that could start control again. */
function whatRuns(state: StateFolder): string {
  const book = readRunBook(state);
  if (book !== undefined && isRunning(book.supervisor))
    return `the control plane is away; \`bulwark up\` (process ${book.supervisor.pid}) starts it again`;
  const left = book?.children.filter(isRunning).length ?? 0;
  if (left === 0) return "no mesh runs on this state folder";
  const processes =
    left === 1
      ? "1 process of an earlier `up` still runs"
      : `${left} processes of an earlier \`up\` still run`;
  return `no control plane runs on this state folder, but ${processes}: \`bulwark up\` replaces them, \`bulwark down\` ends them`;
}

function adminToken(state: StateFolder): string {
  try {
    return readFileSync(state.adminToken, "utf8").trim();
  } catch (cause) {
    throw new BulwarkError("BW_ADMIN_TOKEN", `cannot read ${state.adminToken}`, { cause });
  }
}

export interface ControlLinkOptions {
  /** Dials and says who this is; settles once control has accepted it. */
  readonly connect: () => Promise<RpcPeer>;
  readonly onUp?: () => void;
  /** Told once for each time that control goes away, or cannot be reached at first. */
  readonly onDown?: (why: string) => void;
}

const FIRST_RETRY_MS = 20;
/** A connect to a Unix socket costs next to nothing, and certificates may be short-lived. */
const MAX_RETRY_MS = 200;

/** Keeps a connection to control: whoever holds it goes on while control is away, and is connected again when it is back. */
export class ControlLink {
  readonly #options: ControlLinkOptions;
  #peer: RpcPeer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #down = false;
  #closed = false;

  constructor(options: ControlLinkOptions) {
    this.#options = options;
    void this.#connect();
  }

  get isUp(): boolean {
    return this.#peer !== undefined;
  }

  /** @throws {BulwarkError} BW_CONTROL_UNREACHABLE at once while control is away; else as RpcPeer.request. */
  request(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#peer !== undefined) return this.#peer.request(method, params, timeoutMs);
    return Promise.reject(new BulwarkError("BW_CONTROL_UNREACHABLE", "the control plane is away"));
  }

  /** As RpcPeer.requestJson. */
  requestJson(method: string, paramsJson: string, timeoutMs: number): Promise<unknown> {
    if (this.#peer !== undefined) return this.#peer.requestJson(method, paramsJson, timeoutMs);
    return Promise.reject(new BulwarkError("BW_CONTROL_UNREACHABLE", "the control plane is away"));
  }

  /** Dropped while control is away: for what the next report replaces. */
  notify(method: string, params: unknown): void {
    this.#peer?.notify(method, params);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#peer?.close();
  }

  async #connect(): Promise<void> {
    try {
      const peer = await this.#options.connect();
      if (this.#closed) return peer.close();
      this.#peer = peer;
      this.#retryMs = FIRST_RETRY_MS;
      this.#down = false;
      void peer.closed.then(() => this.#lost("the connection ended"));
      this.#options.onUp?.();
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error));
    }
  }

  #lost(why: string): void {
    this.#peer = undefined;
    if (this.#closed) return;
    if (!this.#down) this.#options.onDown?.(why);
    this.#down = true;
    this.#timer = setTimeout(() => void this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}
