import { closeSync, fstatSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { checkPrivateFileMode, syncFolder } from "../key-store.ts";
import { damagedDatabase, sqliteFailure } from "./sqlite-failure.ts";

const SCHEMA_VERSION = 2;
/** Of other processes' transactions: a commit takes milliseconds, a checkpoint on a busy disk seconds. */
const LOCK_TIMEOUT_MS = 10_000;
/** The write-ahead log goes back to this size after a checkpoint. */
const WAL_LIMIT_BYTES = 4 << 20;

const FIRST_SCHEMA = `
CREATE TABLE issued (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  serial TEXT NOT NULL,
  issuer_key_id TEXT NOT NULL,
  spiffe_id TEXT NOT NULL,
  not_before_ms INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  key_hash TEXT NOT NULL,
  issued_at_ms INTEGER NOT NULL,
  method TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX issued_by_serial ON issued (serial, issuer_key_id);
CREATE INDEX issued_by_identity ON issued (spiffe_id);
CREATE INDEX issued_by_end ON issued (not_after_ms);
CREATE TABLE revocations (
  sequence INTEGER PRIMARY KEY,
  serial TEXT NOT NULL,
  issuer_key_id TEXT NOT NULL,
  spiffe_id TEXT NOT NULL,
  not_after_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  revoked_at_ms INTEGER NOT NULL,
  revoked_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX revocations_by_serial ON revocations (serial, issuer_key_id);
CREATE TABLE cutoffs (spiffe_id TEXT PRIMARY KEY, before_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE news (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, changes INTEGER NOT NULL) STRICT;
INSERT INTO news VALUES (1, 0, 0);
CREATE TABLE shared_values (name TEXT PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  caller TEXT,
  method TEXT,
  spiffe_id TEXT,
  serial TEXT,
  code TEXT,
  message TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (time_ms);
CREATE INDEX audit_refused ON audit (id) WHERE kind = 'refused';
PRAGMA user_version = 1;
`;

/** From each version to the next; a new file goes through all of them. */
const STEPS: readonly string[] = [
  FIRST_SCHEMA,
  `
CREATE INDEX issued_by_key ON issued (key_hash);
CREATE TABLE revoked_keys (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  key_hash TEXT NOT NULL UNIQUE,
  revoked_at_ms INTEGER NOT NULL
) STRICT;
ALTER TABLE revocations ADD COLUMN subject_key_id TEXT;
CREATE INDEX revocations_of_authorities ON revocations (subject_key_id) WHERE subject_key_id IS NOT NULL;
ALTER TABLE cutoffs ADD COLUMN blocked_at_ms INTEGER;
ALTER TABLE cutoffs ADD COLUMN blocked_by TEXT;
PRAGMA user_version = 2;
`,
];

/**
 * Opens the embedded records, or makes them, mode 0600. Never moves a damaged file aside: what it holds must not be forgotten unasked.
 * @throws {BulwarkError} BW_CA_STORE_DAMAGED, BW_CA_STORE_READ_ONLY, BW_CA_STORE_FULL, BW_CA_STORE_BUSY, BW_CA_STORE_IO,
 * BW_KEYSTORE_FILE_MODE when others may read or change the file.
 */
export function openDatabase(path: string): DatabaseSync {
  try {
    checkPrivateFileMode(path);
    makePrivate(path);
    return opened(path);
  } catch (error) {
    throw sqliteFailure(withSqliteCode(error), path);
  }
}

/** SQLite gives its log the mode of the database, which must be right before anything is in it. */
function makePrivate(path: string): void {
  const file = openSync(path, "a", 0o600);
  try {
    if (fstatSync(file).size === 0) syncFolder(dirname(path));
  } finally {
    closeSync(file);
  }
}

function opened(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: LOCK_TIMEOUT_MS });
  try {
    // FULL: a commit is on the disk when it returns, also after a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}`,
    );
    makeSchema(db);
    probe(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Makes the tables, or takes those of an earlier version on. Several processes may begin at once: whoever gets the lock first does it. */
function makeSchema(db: DatabaseSync): void {
  if (userVersion(db) >= SCHEMA_VERSION) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    for (const step of STEPS.slice(userVersion(db))) db.exec(step);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function probe(db: DatabaseSync, path: string): void {
  const version = userVersion(db);
  if (version !== SCHEMA_VERSION)
    throw damagedDatabase(path, `it has schema ${version}, this version knows ${SCHEMA_VERSION}`);
  // Every page, without comparing the indexes with their tables: 0.1 s for 100,000 certificates.
  const [found] = db.prepare("PRAGMA quick_check(1)").all();
  if (found?.quick_check !== "ok") throw damagedDatabase(path, String(found?.quick_check));
}

function userVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version);
}

/** The file system's refusals, told as SQLite would tell them. */
const SQLITE_CODES: Readonly<Record<string, number>> = {
  ENOSPC: 13,
  EDQUOT: 13,
  EROFS: 8,
  EACCES: 14,
  EPERM: 14,
};

function withSqliteCode(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return error;
  const errcode = SQLITE_CODES[error.code];
  return errcode === undefined ? error : Object.assign(error, { errcode });
}
