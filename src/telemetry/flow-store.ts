import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { readFlowBatch } from "./flow-batch-reader.ts";
import { type FlowDatabaseOptions, moveAside, openFlowDatabase } from "./flow-database.ts";
import { decodeFlow, isFlowRecord } from "./flow-decode.ts";
import { encodeFlowRecord } from "./flow-encode.ts";
import type { FlowFilter } from "./flow-filter.ts";
import {
  countFlows,
  type FlowCount,
  type FlowGroup,
  type FlowPage,
  type FlowPageRequest,
  type FollowedFlows,
  flowsAfter,
  lastSeq,
  queryFlows,
} from "./flow-query.ts";
import { BUCKET_ROWS, FLOW_COLUMNS, type FlowEntry, flowEntry, flowRow } from "./flow-row.ts";
import { FlowStoreError, isRecordFault, toFlowStoreError } from "./flow-store-error.ts";

export interface FlowStoreOptions extends FlowDatabaseOptions {
  /** The oldest rows beyond are removed. Default 1,000,000. */
  readonly maxRows?: number;
  /** Records older than this are removed. Default 7 days. */
  readonly maxAgeMs?: number;
  /** Default `Date.now`. */
  readonly nowMs?: () => number;
}

export interface InsertOptions {
  /**
   * The authenticated sender. Its records must name it as reporter and carry its ids (`<reporter>@…`): else one proxy that was
   * broken into could speak for another, or use up another's ids.
   */
  readonly reporter?: string;
  /** Of a sender that speaks for several workloads: one of these is the source or the destination of each of its records. */
  readonly workloads?: ReadonlySet<string>;
}

/** What became of a batch; all of it is committed. */
export interface InsertResult {
  readonly inserted: number;
  /** The id was there already, with the same content: sent twice. */
  readonly duplicates: number;
  /** The id was there with another content: a sender reuses ids, or lies. The first stays. */
  readonly conflicts: number;
  /** No flow record, or one that its sender may not send. Sending it again would not help. */
  readonly rejected: number;
}

/** Rows removed in one step, so that retention never holds up the inserts for long (about 0.1 s). */
const RETENTION_STEP_ROWS = 4096;
const AGE_CHECK_INTERVAL_MS = 30_000;
const INSERT = `INSERT OR IGNORE INTO flows (${FLOW_COLUMNS.join(", ")}) VALUES (${FLOW_COLUMNS.map(() => "?").join(", ")})`;

/**
 * The flow log on SQLite. Synchronous: a batch of 512 takes about 10 ms, so the process that stores should not be one that proxies.
 * One process writes; any number may read, each with a store of its own, `readOnly`.
 */
export class FlowStore {
  readonly #path: string;
  readonly #options: FlowStoreOptions;
  #db: DatabaseSync;
  #insert: StatementSync | undefined;
  #rows = 0;
  #bucket = 0;
  #bucketRows = 0;
  #nextAgeCheckMs = 0;
  #retentionFails = false;
  #closed = false;

  /** @throws {FlowStoreError} as {@link openFlowDatabase}; a damaged file is moved aside instead. */
  constructor(path: string, options: FlowStoreOptions = {}) {
    this.#path = path;
    this.#options = options;
    this.#db = openFlowDatabase(path, options);
    if (!options.readOnly) this.#takeStock();
  }

  /** Rows in the log. */
  get rows(): number {
    return this.#options.readOnly ? this.#number("SELECT count(*) AS n FROM flows") : this.#rows;
  }

  /**
   * Stores records, all or none, each id once; what is no record is counted as rejected.
   * @throws {FlowStoreError} nothing was stored, the caller keeps the batch: full, read-only, busy, or a failing disk.
   */
  insert(records: readonly unknown[], options: InsertOptions = {}): InsertResult {
    return this.#store(options, function* () {
      for (const record of records)
        yield isFlowRecord(record) ? flowEntry(record, encodeFlowRecord(record)) : undefined;
    });
  }

  /** The same from lines of JSON, as a `FlowBuffer` sends them: the lines are stored as they are, and not serialised again. */
  insertLines(text: string, options: InsertOptions = {}): InsertResult {
    return this.#store(options, function* () {
      for (const line of text.split("\n")) {
        if (line === "") continue;
        const record = decodeFlow(line);
        yield record === undefined ? undefined : flowEntry(record, line);
      }
    });
  }

  /** The same from batches, as a proxy's `FlowBuffer` sends them. What is no batch counts as one rejected record. */
  insertBatches(batches: readonly Buffer[], options: InsertOptions = {}): InsertResult {
    return this.#store(options, function* () {
      for (const batch of batches) yield* readFlowBatch(batch) ?? [undefined];
    });
  }

  /** Records that pass the filter, newest first unless told otherwise (by their time, then by the order of storing). */
  query(filter: FlowFilter, page: FlowPageRequest = {}): FlowPage {
    return this.#read(() => queryFlows(this.#db, filter, page));
  }

  /** The cursor after all that is stored now: where a follower begins that wants only what comes. */
  lastCursor(): number {
    return this.#read(() => lastSeq(this.#db));
  }

  /** What was stored after the cursor and passes the filter, in the order of storing, and the cursor to go on from. */
  follow(cursor: number, filter: FlowFilter = {}, limit = 1000): FollowedFlows {
    return this.#read(() => flowsAfter(this.#db, cursor, filter, limit));
  }

  /** How many records pass, by group, the most first. Without groups: one row. */
  count(filter: FlowFilter, groups: readonly FlowGroup[] = []): readonly FlowCount[] {
    return this.#read(() => countFlows(this.#db, filter, groups));
  }

  close(): void {
    this.#closed = true;
    if (this.#db.isOpen) this.#db.close();
  }

  #takeStock(): void {
    this.#insert = this.#db.prepare(INSERT);
    this.#rows = this.#number("SELECT count(*) AS n FROM flows");
    this.#bucket = this.#number("SELECT coalesce(max(bucket), 0) + 1 AS n FROM flows");
    this.#bucketRows = 0;
  }

  #store(options: InsertOptions, entries: () => Iterable<FlowEntry | undefined>): InsertResult {
    if (this.#options.readOnly) {
      throw new FlowStoreError(
        "BW_FLOWS_READ_ONLY",
        `the flow log was opened for reading only: ${this.#path}`,
      );
    }
    const work = (): InsertResult => this.#transaction(() => this.#insertAll(options, entries()));
    const result = this.#guarded(work);
    this.#rows += result.inserted;
    this.#retain();
    return result;
  }

  /** Mends once what can be mended (a damaged file, an own size limit), then gives up with the batch not stored. */
  #guarded<T>(work: () => T): T {
    try {
      if (!this.#db.isOpen && !this.#closed) this.#reopen();
      return work();
    } catch (error) {
      const typed = toFlowStoreError(error, this.#path);
      if (!this.#mend(typed)) throw typed;
    }
    try {
      return work();
    } catch (error) {
      throw toFlowStoreError(error, this.#path);
    }
  }

  #mend(error: FlowStoreError): boolean {
    if (error.code === "BW_FLOWS_CORRUPT") {
      this.#beginAnew(error.message);
      return true;
    }
    return error.code === "BW_FLOWS_FULL" && this.#makeRoom();
  }

  /** At the log's own limit the oldest go. On a full disk only what is too old anyway: the senders can wait for room. */
  #makeRoom(): boolean {
    try {
      this.#nextAgeCheckMs = 0;
      const aged = this.#removeAged();
      const oldest = this.#options.maxBytes === undefined ? 0 : this.#removeOldest(RETENTION_STEP_ROWS);
      return aged + oldest > 0;
    } catch {
      return false;
    }
  }

  #beginAnew(why: string): void {
    try {
      this.#db.close();
      moveAside(this.#path, why, this.#options);
      this.#reopen();
    } catch (error) {
      throw toFlowStoreError(error, this.#path);
    }
  }

  #reopen(): void {
    this.#db = openFlowDatabase(this.#path, this.#options);
    this.#takeStock();
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      // SQLite itself rolls back on some errors (full, I/O).
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #insertAll(options: InsertOptions, entries: Iterable<FlowEntry | undefined>): InsertResult {
    const result = { inserted: 0, duplicates: 0, conflicts: 0, rejected: 0 };
    for (const entry of entries) {
      if (entry === undefined || !mayReport(options, entry)) result.rejected += 1;
      else result[this.#insertOne(entry)] += 1;
    }
    return result;
  }

  #insertOne(entry: FlowEntry): keyof InsertResult {
    try {
      const changes = this.#insert?.run(...flowRow(entry, this.#bucket)).changes;
      if (changes !== 1) return this.#isStored(entry.id, entry.line) ? "duplicates" : "conflicts";
    } catch (error) {
      if (isRecordFault(error)) return "rejected";
      throw error;
    }
    this.#bucketRows += 1;
    if (this.#bucketRows >= BUCKET_ROWS) {
      this.#bucket += 1;
      this.#bucketRows = 0;
    }
    return "inserted";
  }

  #isStored(id: string, line: string): boolean {
    return this.#db.prepare("SELECT body = ? AS same FROM flows WHERE id = ?").get(line, id)?.same === 1;
  }

  /** A failure here is told (once) and tried again later: the batch before it is stored, and must be acknowledged. */
  #retain(): void {
    try {
      const maxRows = this.#options.maxRows ?? 1_000_000;
      const excess = this.#rows - maxRows;
      // A little more than must be, so that not every batch removes.
      const spare = Math.min(RETENTION_STEP_ROWS, Math.floor(maxRows / 16));
      if (excess > 0) this.#removeOldest(Math.min(excess + spare, 4 * RETENTION_STEP_ROWS));
      this.#removeAged();
      this.#retentionFails = false;
    } catch (error) {
      const { message } = toFlowStoreError(error, this.#path);
      if (!this.#retentionFails)
        this.#options.onMessage?.(`old flow records could not be removed: ${message}`);
      this.#retentionFails = true;
    }
  }

  #removeAged(): number {
    const nowMs = (this.#options.nowMs ?? Date.now)();
    if (nowMs < this.#nextAgeCheckMs) return 0;
    const cutoffMicros = (nowMs - (this.#options.maxAgeMs ?? 7 * 86_400_000)) * 1000;
    const removed = this.#remove("WHERE time_us < ? ORDER BY time_us", [cutoffMicros], RETENTION_STEP_ROWS);
    // More to remove: go on at the next insert.
    if (removed < RETENTION_STEP_ROWS) this.#nextAgeCheckMs = nowMs + AGE_CHECK_INTERVAL_MS;
    return removed;
  }

  #removeOldest(rows: number): number {
    return this.#remove("ORDER BY seq", [], rows);
  }

  #remove(which: string, parameters: readonly SQLInputValue[], limit: number): number {
    const sql = `DELETE FROM flows WHERE seq IN (SELECT seq FROM flows ${which} LIMIT ?)`;
    const removed = Number(this.#db.prepare(sql).run(...parameters, limit).changes);
    this.#rows -= removed;
    return removed;
  }

  #number(sql: string): number {
    return this.#read(() => Number(this.#db.prepare(sql).get()?.n));
  }

  #read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof TypeError ? error : toFlowStoreError(error, this.#path);
    }
  }
}

function mayReport({ reporter, workloads }: InsertOptions, entry: FlowEntry): boolean {
  if (reporter === undefined) return true;
  if (entry.reporter !== reporter || !entry.id.startsWith(`${reporter}@`)) return false;
  return (
    workloads === undefined || workloads.has(entry.source ?? "") || workloads.has(entry.destination ?? "")
  );
}
