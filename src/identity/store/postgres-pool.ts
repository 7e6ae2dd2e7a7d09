import type { ClientConfig, Pool, PoolClient } from "pg";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { postgresFailure } from "./postgres-failure.ts";
import type { PostgresAddress } from "./store-address.ts";
import { storeClosed } from "./store-failure.ts";
import type { StoredRow } from "./stored-row.ts";

/** No call waits longer than the sum of these: for a connection, and for the answer over one that may be dead. */
const CONNECT_TIMEOUT_MS = 5000;
const STATEMENT_TIMEOUT_MS = 5000;
const LOCK_TIMEOUT_MS = 3000;
/** Where the server's own time-out does not reach us any more. */
const ANSWER_TIMEOUT_MS = 8000;
/** Of a replica whose machine went away inside a transaction: its locks hold up the others. */
const IDLE_IN_TRANSACTION_MS = 10_000;
/** Issuing and auditing take one each while they commit; the rest reads. */
const MAX_CONNECTIONS = 5;

/** The driver, loaded only where a store is a PostgreSQL database. */
export async function loadDriver(): Promise<Pick<typeof import("pg"), "Client" | "Pool">> {
  return (await import("pg")).default;
}

export function clientConfig(address: PostgresAddress): ClientConfig {
  const { host, port, database, user, password, tls } = address;
  return {
    host,
    port,
    database,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ssl: tls,
    application_name: "bulwark-ca",
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
  };
}

/** Runs one statement. */
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly StoredRow[]>;

/** Connections to the database of a CA's records. Every failure comes out as a BulwarkError; a connection on which one happened is not used again. */
export class PostgresPool {
  readonly #address: PostgresAddress;
  readonly #pool: Pool;
  #closed = false;

  private constructor(address: PostgresAddress, pool: Pool) {
    this.#address = address;
    this.#pool = pool;
    // Of connections that nobody uses: the next call gets another one.
    pool.on("error", () => {});
  }

  static async open(address: PostgresAddress): Promise<PostgresPool> {
    const { Pool: Connections } = await loadDriver();
    return new PostgresPool(
      address,
      new Connections({
        ...clientConfig(address),
        max: MAX_CONNECTIONS,
        idleTimeoutMillis: 60_000,
        allowExitOnIdle: true,
      }),
    );
  }

  /** One statement, committed when this settles. */
  query(text: string, values: readonly unknown[] = []): Promise<readonly StoredRow[]> {
    return this.#with(async (client) => (await client.query(text, [...values])).rows);
  }

  /**
   * All that `work` does, or nothing: committed when this settles.
   * @param first statements without values that go with the BEGIN, in one round trip.
   */
  transaction<T>(work: (query: Query) => Promise<T>, first = ""): Promise<T> {
    return this.#with(async (client) => {
      await client.query(`BEGIN; ${first}`);
      try {
        const result = await work(async (text, values = []) => (await client.query(text, [...values])).rows);
        await client.query("COMMIT");
        return result;
      } catch (error) {
        // A refusal of ours leaves a connection in order; after any other failure it is dropped, which undoes the transaction as well.
        if (error instanceof BulwarkError) await client.query("ROLLBACK");
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool.end();
  }

  async #with<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.#closed) throw storeClosed(this.#address.name);
    let client: PoolClient | undefined;
    let broken = true;
    try {
      client = await this.#pool.connect();
      // The pool listens to idle connections only: one that ends between two statements would end the process. The next statement fails.
      client.on("error", ignore);
      const result = await work(client);
      broken = false;
      return result;
    } catch (error) {
      broken = !(error instanceof BulwarkError);
      throw postgresFailure(error, this.#address);
    } finally {
      client?.off("error", ignore);
      client?.release(broken);
    }
  }
}

function ignore(): void {}
