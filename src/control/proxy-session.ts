import { BulwarkError } from "../resources/bulwark-error.ts";
import { podKey, type SessionHolder } from "../substrate/assignment.ts";
import type { ConfigurationPush, ProxyReport } from "./messages.ts";
import type { RpcPeer } from "./rpc.ts";

/** How long a proxy may take over a configuration before it is sent again. */
const PUSH_TIMEOUT_MS = 30_000;
const RETRY_PUSH_MS = 1000;

export interface ProxySessionOptions {
  /** The newest configuration, whole. */
  readonly configuration: () => ConfigurationPush | undefined;
  /** What of it this session is sent. */
  readonly partOf: (push: ConfigurationPush) => ConfigurationPush;
  readonly onApplied: (pod: string, version: number) => void;
  readonly onRefused: (pod: string, version: number, why: string) => void;
}

/** One connected proxy or ztunnel: what it was sent, and what it last said of itself. */
export class ProxySession {
  readonly holder: SessionHolder;
  readonly peer: RpcPeer;
  readonly #options: ProxySessionOptions;
  acknowledgedVersion = 0;
  refusal: string | undefined;
  report: ProxyReport | undefined;
  #isPushing = false;

  constructor(holder: SessionHolder, peer: RpcPeer, options: ProxySessionOptions) {
    this.holder = holder;
    this.peer = peer;
    this.#options = options;
  }

  /** `namespace/name` */
  get key(): string {
    return podKey(this.holder);
  }

  /** Sends the newest configuration; while it is busy with an older one it gets it after. Never rejects. */
  async push(): Promise<void> {
    if (this.#isPushing) return;
    this.#isPushing = true;
    const { configuration, partOf, onApplied } = this.#options;
    let sent = 0;
    try {
      // Whatever came while one was under way is skipped but for the newest.
      for (let push = configuration(); push !== undefined && push.version > sent; push = configuration()) {
        const { version } = push;
        sent = version;
        await this.peer.request("configure", partOf(push), PUSH_TIMEOUT_MS);
        this.acknowledgedVersion = version;
        this.refusal = undefined;
        onApplied(this.key, version);
      }
    } catch (error) {
      this.#pushFailed(sent, error);
    } finally {
      this.#isPushing = false;
    }
  }

  #pushFailed(version: number, error: unknown): void {
    if (error instanceof BulwarkError && error.code === "BW_RPC_CLOSED") return;
    this.refusal = error instanceof Error ? error.message : String(error);
    this.#options.onRefused(this.key, version, this.refusal);
    setTimeout(() => void this.push(), RETRY_PUSH_MS).unref();
  }
}
