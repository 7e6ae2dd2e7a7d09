import type { SpiffeId } from "../../model/spiffe-id.ts";
import type { BulwarkError } from "../../resources/bulwark-error.ts";
import type {
  AuditRecord,
  CaStore,
  IdentityCutoff,
  IssuanceProof,
  IssuedCertificateRecord,
  IssuedFilter,
  Revocation,
  RevocationTarget,
  RevokedKey,
  RevokeHow,
  VersionedValue,
} from "./ca-store.ts";
import { GroupCommit } from "./group-commit.ts";
import { type IssuedPage, issuedPages } from "./issued-pages.ts";
import { PostgresListener } from "./postgres-listener.ts";
import { PostgresPool } from "./postgres-pool.ts";
import { openSchema } from "./postgres-schema.ts";
import { type PostgresStatements, postgresStatements } from "./postgres-statements.ts";
import { PostgresWriter } from "./postgres-writer.ts";
import { pruneAll } from "./retention.ts";
import { RevocationWatch } from "./revocation-watch.ts";
import { type PostgresAddress, parsePostgresAddress } from "./store-address.ts";
import { storeClosed, tooManyWaiting } from "./store-failure.ts";
import { cleanAudit, toAudit, toCutoff, toIssued, toRevocation, toRevokedKey } from "./stored-row.ts";

interface Issuance {
  readonly record: IssuedCertificateRecord;
  readonly proof: IssuanceProof | undefined;
}

/**
 * A CA's records in a PostgreSQL database that several replicas share: serials are unique by constraint, revocations are one after the other, and each replica learns of the
 * others' by LISTEN/NOTIFY, with polling besides. No call waits without bound, and each one after a failure gets a new connection.
 */
export class PostgresCaStore implements CaStore {
  readonly name: string;
  readonly #address: PostgresAddress;
  readonly #pool: PostgresPool;
  readonly #sql: PostgresStatements;
  readonly #writer: PostgresWriter;
  readonly #issuances: GroupCommit<Issuance>;
  readonly #audits: GroupCommit<AuditRecord>;
  readonly #watch: RevocationWatch;
  /** Changes that are not in a group. */
  readonly #underWay = new Set<Promise<unknown>>();
  #listener: PostgresListener | undefined;
  #closed = false;

  private constructor(address: PostgresAddress, pool: PostgresPool) {
    this.name = address.name;
    this.#address = address;
    this.#pool = pool;
    this.#sql = postgresStatements(address.schema);
    const writer = new PostgresWriter(pool, this.#sql, address.name);
    this.#writer = writer;
    const full = (): BulwarkError => tooManyWaiting(address.name);
    this.#issuances = new GroupCommit((items) => writer.recordIssued(items), full);
    this.#audits = new GroupCommit((items) => writer.audit(items), full);
    this.#watch = new RevocationWatch(async () => Number((await pool.query(this.#sql.news))[0]?.changes));
  }

  /**
   * Connects, and makes the tables where they are missing.
   * @param address as parsePostgresAddress reads it.
   * @throws {BulwarkError} BW_CA_STORE_ADDRESS, BW_CA_STORE_UNAVAILABLE, BW_CA_STORE_REFUSED, BW_CA_STORE_READ_ONLY, BW_CA_STORE_DAMAGED.
   */
  static async open(address: string): Promise<PostgresCaStore> {
    const parsed = parsePostgresAddress(address);
    const pool = await PostgresPool.open(parsed);
    try {
      await openSchema(pool, parsed);
      return new PostgresCaStore(parsed, pool);
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  recordIssued(record: IssuedCertificateRecord, proof?: IssuanceProof): Promise<void> {
    return this.#closed ? this.#refuse() : this.#issuances.add({ record, proof });
  }

  issued(filter: IssuedFilter = {}): AsyncIterable<IssuedCertificateRecord> {
    return issuedPages(filter, (...page) => this.#issuedPage(...page));
  }

  revoke(target: RevocationTarget, how: RevokeHow): Promise<readonly Revocation[]> {
    return this.#change(async () => {
      const revocations = await this.#writer.revoke(target, how);
      this.#watch.look();
      return revocations;
    });
  }

  async revocationsSince(sequence: number): Promise<readonly Revocation[]> {
    return (await this.#pool.query(this.#sql.revocationsSince, [sequence])).map(toRevocation);
  }

  async revocationOf(issuerKeyId: string, serial: string): Promise<Revocation | undefined> {
    return (await this.#pool.query(this.#sql.revocationOf, [issuerKeyId, serial])).map(toRevocation)[0];
  }

  async cutoffOf(spiffeId: SpiffeId): Promise<IdentityCutoff | undefined> {
    const [row] = await this.#pool.query(this.#sql.cutoffOf, [spiffeId]);
    return row === undefined ? undefined : toCutoff(row);
  }

  async cutoffs(): Promise<readonly IdentityCutoff[]> {
    return (await this.#pool.query(this.#sql.cutoffs)).map(toCutoff);
  }

  async revokedKeysSince(sequence: number, limit: number): Promise<readonly RevokedKey[]> {
    return (await this.#pool.query(this.#sql.revokedKeysSince, [sequence, limit]))
      .map(toRevokedKey)
      .reverse();
  }

  unblock(spiffeId: SpiffeId): Promise<boolean> {
    return this.#change(async () => {
      const wasBlocked = await this.#writer.unblock(spiffeId);
      this.#watch.look();
      return wasBlocked;
    });
  }

  watchRevocations(onNews: () => void, signal: AbortSignal): void {
    if (this.#closed) return;
    this.#watch.add(onNews, signal);
    this.#listener ??= new PostgresListener(this.#address, this.#sql.channel, () => this.#watch.look());
  }

  async read(name: string): Promise<VersionedValue> {
    const [row] = await this.#pool.query(this.#sql.read, [name]);
    return row === undefined
      ? { version: 0, text: "" }
      : { version: Number(row.version), text: String(row.text) };
  }

  compareAndSet(name: string, expectedVersion: number, text: string): Promise<boolean> {
    const statement = expectedVersion === 0 ? this.#sql.setFirst : this.#sql.setNext;
    const values = expectedVersion === 0 ? [name, text] : [name, text, expectedVersion];
    return this.#change(async () => (await this.#pool.query(statement, values)).length === 1);
  }

  audit(record: AuditRecord): Promise<void> {
    return this.#closed ? this.#refuse() : this.#audits.add(cleanAudit(record));
  }

  async audited(limit: number): Promise<readonly AuditRecord[]> {
    return (await this.#pool.query(this.#sql.audited, [limit])).map(toAudit);
  }

  prune(nowMs: number): Promise<number> {
    return this.#change(() => pruneAll((limits) => this.#writer.pruneSlice(limits), nowMs));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.stop();
    this.#listener?.stop();
    await Promise.allSettled([this.#issuances.settled(), this.#audits.settled(), ...this.#underWay]);
    await this.#pool.close();
  }

  async #issuedPage(filter: IssuedFilter, beforeId: number | undefined, rows: number): Promise<IssuedPage> {
    const { spiffeId = null, serial = null, endsAfterMs = null } = filter;
    const values = [beforeId ?? null, spiffeId, serial, endsAfterMs, rows];
    const found = await this.#pool.query(this.#sql.issuedPage, values);
    return { records: found.map(toIssued), lastId: Number(found.at(-1)?.id ?? 0) };
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return this.#refuse();
    const change = work();
    this.#underWay.add(change);
    const done = (): void => void this.#underWay.delete(change);
    change.then(done, done);
    return change;
  }

  #refuse(): Promise<never> {
    return Promise.reject(storeClosed(this.name));
  }
}
