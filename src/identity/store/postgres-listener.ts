import type { Client } from "pg";
import { clientConfig, loadDriver } from "./postgres-pool.ts";
import type { PostgresAddress } from "./store-address.ts";

const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 5000;

/**
 * A connection that only listens. What it misses while it is away is not told again: its user polls besides, and is called once it listens anew.
 */
export class PostgresListener {
  readonly #address: PostgresAddress;
  readonly #channel: string;
  readonly #onNews: () => void;
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #stopped = false;

  /** @param channel an SQL identifier. */
  constructor(address: PostgresAddress, channel: string, onNews: () => void) {
    this.#address = address;
    this.#channel = channel;
    this.#onNews = onNews;
    void this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  async #connect(): Promise<void> {
    const { Client: Connection } = await loadDriver();
    if (this.#stopped) return;
    const client = new Connection(clientConfig(this.#address));
    this.#client = client;
    client.on("error", () => this.#again(client));
    client.on("end", () => this.#again(client));
    client.on("notification", () => this.#onNews());
    try {
      await client.connect();
      await client.query(`LISTEN ${this.#channel}`);
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#onNews();
    } catch {
      this.#again(client);
    }
  }

  #again(client: Client): void {
    if (this.#client !== client) return;
    this.#drop();
    if (this.#stopped) return;
    // Half of it by chance: replicas that lost the same server do not come back in step.
    this.#timer = setTimeout(() => void this.#connect(), this.#pauseMs * (0.5 + Math.random() / 2)).unref();
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    // It may be gone already, or never have been there.
    client?.end().catch(() => {});
  }
}
