import type { SpiffeId } from "../../model/spiffe-id.ts";
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
import { issuedPages } from "./issued-pages.ts";
import { pruneAll } from "./retention.ts";
import { RevocationWatch } from "./revocation-watch.ts";
import { SqliteThread } from "./sqlite-thread.ts";
import { cleanAudit } from "./stored-row.ts";

/**
 * A CA's records in one SQLite file beside its keys (write-ahead log, synchronous=FULL): calls that arrive together share one transaction, in a thread of its own.
 * Several processes may open the same file.
 */
export class SqliteCaStore implements CaStore {
  readonly name: string;
  readonly #thread: SqliteThread;
  readonly #watch: RevocationWatch;

  private constructor(path: string, thread: SqliteThread) {
    this.name = `sqlite:${path}`;
    this.#thread = thread;
    this.#watch = new RevocationWatch(async () => (await thread.call("news")).changes);
  }

  /**
   * Opens the file, or makes it (mode 0600) in a folder that exists.
   * @throws {BulwarkError} BW_CA_STORE_DAMAGED, BW_CA_STORE_READ_ONLY, BW_CA_STORE_FULL, BW_CA_STORE_BUSY, BW_CA_STORE_IO, BW_KEYSTORE_FILE_MODE.
   */
  static async open(path: string): Promise<SqliteCaStore> {
    return new SqliteCaStore(path, await SqliteThread.open(path));
  }

  recordIssued(record: IssuedCertificateRecord, proof?: IssuanceProof): Promise<void> {
    return this.#thread.call("recordIssued", record, proof);
  }

  issued(filter: IssuedFilter = {}): AsyncIterable<IssuedCertificateRecord> {
    return issuedPages(filter, (...page) => this.#thread.call("issuedPage", ...page));
  }

  async revoke(target: RevocationTarget, how: RevokeHow): Promise<readonly Revocation[]> {
    const revocations = await this.#thread.call("revoke", target, how);
    this.#watch.look();
    return revocations;
  }

  revocationsSince(sequence: number): Promise<readonly Revocation[]> {
    return this.#thread.call("revocationsSince", sequence);
  }

  revocationOf(issuerKeyId: string, serial: string): Promise<Revocation | undefined> {
    return this.#thread.call("revocationOf", issuerKeyId, serial);
  }

  cutoffOf(spiffeId: SpiffeId): Promise<IdentityCutoff | undefined> {
    return this.#thread.call("cutoffOf", spiffeId);
  }

  cutoffs(): Promise<readonly IdentityCutoff[]> {
    return this.#thread.call("cutoffs");
  }

  revokedKeysSince(sequence: number, limit: number): Promise<readonly RevokedKey[]> {
    return this.#thread.call("revokedKeysSince", sequence, limit);
  }

  async unblock(spiffeId: SpiffeId): Promise<boolean> {
    const wasBlocked = await this.#thread.call("unblock", spiffeId);
    this.#watch.look();
    return wasBlocked;
  }

  watchRevocations(onNews: () => void, signal: AbortSignal): void {
    this.#watch.add(onNews, signal);
  }

  read(name: string): Promise<VersionedValue> {
    return this.#thread.call("read", name);
  }

  compareAndSet(name: string, expectedVersion: number, text: string): Promise<boolean> {
    return this.#thread.call("compareAndSet", name, expectedVersion, text);
  }

  audit(record: AuditRecord): Promise<void> {
    return this.#thread.call("audit", cleanAudit(record));
  }

  audited(limit: number): Promise<readonly AuditRecord[]> {
    return this.#thread.call("audited", limit);
  }

  prune(nowMs: number): Promise<number> {
    return pruneAll((limits) => this.#thread.call("pruneSlice", limits), nowMs);
  }

  close(): Promise<void> {
    this.#watch.stop();
    return this.#thread.close();
  }
}
