import type { PostgresPool, Query } from "./postgres-pool.ts";
import type { PostgresAddress } from "./store-address.ts";
import { storeError } from "./store-failure.ts";

/** Tables of {@link PostgresCaStore}, in a schema of their own. `S` stands for its name. */
const SCHEMA_VERSION = 2;

const FIRST_TABLES = `
CREATE TABLE S.issued (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  serial TEXT NOT NULL,
  issuer_key_id TEXT NOT NULL,
  spiffe_id TEXT NOT NULL,
  not_before_ms BIGINT NOT NULL,
  not_after_ms BIGINT NOT NULL,
  key_hash TEXT NOT NULL,
  issued_at_ms BIGINT NOT NULL,
  method TEXT NOT NULL,
  CONSTRAINT issued_serial_once UNIQUE (serial, issuer_key_id)
);
CREATE INDEX issued_by_identity ON S.issued (spiffe_id, id);
CREATE INDEX issued_by_end ON S.issued (not_after_ms);
CREATE TABLE S.revocations (
  sequence BIGINT PRIMARY KEY,
  serial TEXT NOT NULL,
  issuer_key_id TEXT NOT NULL,
  spiffe_id TEXT NOT NULL,
  not_after_ms BIGINT NOT NULL,
  reason TEXT NOT NULL,
  revoked_at_ms BIGINT NOT NULL,
  revoked_by TEXT NOT NULL,
  CONSTRAINT revocations_serial_once UNIQUE (serial, issuer_key_id)
);
CREATE INDEX revocations_by_end ON S.revocations (not_after_ms);
CREATE TABLE S.cutoffs (spiffe_id TEXT PRIMARY KEY, before_ms BIGINT NOT NULL);
CREATE TABLE S.news (one INT PRIMARY KEY CHECK (one = 1), sequence BIGINT NOT NULL, changes BIGINT NOT NULL);
INSERT INTO S.news VALUES (1, 0, 0);
CREATE TABLE S.shared_values (name TEXT PRIMARY KEY, version BIGINT NOT NULL, text TEXT NOT NULL);
CREATE TABLE S.audit (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  time_ms BIGINT NOT NULL,
  kind TEXT NOT NULL,
  caller TEXT,
  method TEXT,
  spiffe_id TEXT,
  serial TEXT,
  code TEXT,
  message TEXT NOT NULL
);
CREATE INDEX audit_by_time ON S.audit (time_ms);
CREATE INDEX audit_refused ON S.audit (id) WHERE kind = 'refused';
CREATE TABLE S.schema_version (version INT PRIMARY KEY);
INSERT INTO S.schema_version VALUES (1);
`;

/** From each version to the next; a new schema goes through all of them. */
const STEPS: readonly string[] = [
  FIRST_TABLES,
  `
CREATE INDEX issued_by_key ON S.issued (key_hash);
CREATE TABLE S.revoked_keys (
  sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key_hash TEXT NOT NULL UNIQUE,
  revoked_at_ms BIGINT NOT NULL
);
ALTER TABLE S.revocations ADD COLUMN subject_key_id TEXT;
CREATE INDEX revocations_of_authorities ON S.revocations (subject_key_id) WHERE subject_key_id IS NOT NULL;
ALTER TABLE S.cutoffs ADD COLUMN blocked_at_ms BIGINT, ADD COLUMN blocked_by TEXT;
UPDATE S.schema_version SET version = 2;
`,
];

/** Only one replica at a time makes the tables: any number that is ours will do. */
const SCHEMA_LOCK = 7_262_185_231;

/**
 * Makes the tables where they are missing, takes those of an earlier version on, and refuses a server that does not keep what it acknowledges.
 * @throws {BulwarkError} BW_CA_STORE_REFUSED, BW_CA_STORE_DAMAGED, and those of the pool.
 */
export function openSchema(pool: PostgresPool, { schema: bare, name }: PostgresAddress): Promise<void> {
  // A schema may have a reserved word for a name.
  const schema = `"${bare}"`;
  return pool.transaction(async (query) => {
    await refuseForgetful(query, name);
    const [found] = await query(
      "SELECT to_regnamespace($1) IS NOT NULL AS schema, to_regclass($1 || '.schema_version') IS NOT NULL AS tables",
      [schema],
    );
    // Asked first: CREATE … IF NOT EXISTS needs the right to create even where there is nothing to do.
    if (found?.schema !== true) await query(`CREATE SCHEMA ${schema}`);
    const version = found?.tables === true ? await versionOf(query, schema) : 0;
    for (const step of STEPS.slice(version))
      for (const statement of statementsOf(step, schema)) await query(statement);
    if (version <= SCHEMA_VERSION) return;
    const message = `the CA's records (${name}) have version ${version} of their tables, this program knows ${SCHEMA_VERSION}: use the program that made them`;
    throw storeError("BW_CA_STORE_DAMAGED", message, name);
  }, `SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
}

/** Both are on unless somebody turned them off: then a power cut takes certificates and revocations back. */
async function refuseForgetful(query: Query, name: string): Promise<void> {
  const [row] = await query(
    "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit",
  );
  if (row?.fsync === "on" && row.commit !== "off") return;
  const message = `the CA's records (${name}): the server acknowledges what it may lose (fsync ${row?.fsync}, synchronous_commit ${row?.commit}); turn both on`;
  throw storeError("BW_CA_STORE_REFUSED", message, name);
}

async function versionOf(query: Query, schema: string): Promise<number> {
  const [row] = await query(`SELECT version FROM ${schema}.schema_version`);
  return Number(row?.version);
}

function statementsOf(step: string, schema: string): readonly string[] {
  return step
    .replaceAll("S.", `${schema}.`)
    .split(";")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}
