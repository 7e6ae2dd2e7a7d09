import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { FlowStoreError, toFlowStoreError } from "./flow-store-error.ts";

export interface FlowDatabaseOptions {
  /** Opens for queries alone: never writes, never moves anything aside. */
  readonly readOnly?: boolean;
  /** Bound of the database file (its journal comes on top); at it the oldest records make room. Default: the disk's. */
  readonly maxBytes?: number;
  readonly onMessage?: (message: string) => void;
}

const SCHEMA_VERSION = 2;
const PAGE_BYTES = 8192;

/**
 * Read out of the body by a view, and so computed only for the rows that a query looks at. (Virtual generated columns would be
 * computed at each insert as well: +5 µs a record.)
 */
const VIEWED: readonly (readonly [string, string])[] = [
  ["principal", "$.source.principal"],
  ["source_ip", "$.source.ip"],
  ["service", "$.destination.service"],
  ["host", "$.destination.host"],
  ["direction", "$.direction"],
  ["protocol", "$.protocol"],
  ["shadow", "$.shadow"],
  ["sni", "$.sni"],
  ["inner_sni", "$.innerSni"],
  ["method", "$.method"],
  ["path", "$.path"],
  ["status", "$.status"],
  ["layer", "$.layer"],
  ["reason", "$.reason"],
  ["policy", "$.policy"],
  ["trace_id", "$.traceId"],
  ["connection_id", "$.connectionId"],
];

const SCHEMA = `
CREATE TABLE flows (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  time_us INTEGER NOT NULL,
  kind TEXT NOT NULL,
  verdict TEXT NOT NULL,
  reporter TEXT NOT NULL,
  source TEXT,
  destination TEXT,
  trace_key INTEGER,
  source_port INTEGER,
  body TEXT NOT NULL
);
CREATE VIEW flow_log AS SELECT flows.*, ${VIEWED.map(([column, path]) => `body ->> '${path}' AS ${column}`).join(", ")} FROM flows;
CREATE UNIQUE INDEX flows_by_id ON flows (id);
CREATE INDEX flows_by_time ON flows (time_us);
CREATE INDEX flows_by_reporter ON flows (reporter, time_us);
CREATE INDEX flows_by_source ON flows (source, time_us);
CREATE INDEX flows_by_destination ON flows (destination, time_us);
CREATE INDEX flows_by_trace ON flows (bucket, trace_key);
CREATE INDEX flows_by_source_port ON flows (bucket, source_port);
CREATE INDEX flows_not_allowed ON flows (time_us) WHERE verdict <> 'allow';
CREATE INDEX flows_not_requests ON flows (kind, time_us) WHERE kind <> 'request';
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens the log, or makes it. A file that is damaged, torn or of another schema is moved aside, said by `onMessage`, and a new one begun.
 * @throws {FlowStoreError} when there is no room, no right to write, or (read-only) the file is absent or damaged.
 */
export function openFlowDatabase(path: string, options: FlowDatabaseOptions): DatabaseSync {
  try {
    return options.readOnly ? openReadOnly(path) : openOrBeginAnew(path, options);
  } catch (error) {
    throw toFlowStoreError(error, path);
  }
}

function openReadOnly(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 1_000 });
  try {
    probe(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function openOrBeginAnew(path: string, options: FlowDatabaseOptions): DatabaseSync {
  if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return openWritable(path, options);
  } catch (error) {
    const typed = toFlowStoreError(error, path);
    if (typed.code !== "BW_FLOWS_CORRUPT") throw typed;
    moveAside(path, typed.message, options);
    return openWritable(path, options);
  }
}

function openWritable(path: string, options: FlowDatabaseOptions): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 1_000 });
  try {
    configure(db, options);
    if (userVersion(db) === 0 && isEmpty(db)) db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
    probe(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * WAL with synchronous=NORMAL: the death of a process loses nothing that was committed; a power cut may lose the last commits, and
 * damages nothing (https://www.sqlite.org/pragma.html#pragma_synchronous). Fewer, longer checkpoints: +20 % records/s.
 */
function configure(db: DatabaseSync, options: FlowDatabaseOptions): void {
  db.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864`);
  if (options.maxBytes !== undefined) {
    db.exec(`PRAGMA max_page_count = ${Math.max(64, Math.floor(options.maxBytes / PAGE_BYTES))}`);
  }
}

/** Reads both ends of the table and of the indexes: finds a torn file without reading all of it. */
function probe(db: DatabaseSync): void {
  const version = userVersion(db);
  if (version !== SCHEMA_VERSION) {
    throw new FlowStoreError(
      "BW_FLOWS_CORRUPT",
      `the flow log has schema ${version}, this version knows ${SCHEMA_VERSION}`,
    );
  }
  for (const column of ["seq", "id", "time_us", "reporter", "source", "destination", "bucket"]) {
    db.prepare(`SELECT body FROM flows ORDER BY ${column} LIMIT 1`).get();
    db.prepare(`SELECT body FROM flows ORDER BY ${column} DESC LIMIT 1`).get();
  }
}

function userVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version);
}

function isEmpty(db: DatabaseSync): boolean {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.tables === 0;
}

/** Renames the database and its journal; never deletes: there may be something to save. */
export function moveAside(path: string, why: string, options: FlowDatabaseOptions): void {
  const aside = `${path}.damaged-${new Date().toISOString().replaceAll(":", "")}-${process.pid}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  options.onMessage?.(`${why}; moved to ${aside}, a new flow log is begun`);
}
