/** The SQL of {@link PostgresCaStore} over the tables of one schema. */
export interface PostgresStatements {
  /** As LISTEN takes it; `pg_notify` takes the same without its quotes. */
  readonly channel: string;
  readonly lockForIssuing: string;
  readonly lockForRevoking: string;
  readonly recordIssued: string;
  readonly issuedPage: string;
  readonly drawCutoff: string;
  readonly block: string;
  readonly unblock: string;
  readonly isOnRecord: string;
  readonly revokeKeysOfSerial: string;
  readonly revokeKeysOfIdentity: string;
  readonly revokeSerial: string;
  readonly revokeIdentity: string;
  readonly revokeAuthority: string;
  readonly tellNews: string;
  readonly news: string;
  readonly revocationsSince: string;
  readonly revocationOf: string;
  readonly revokedKeysSince: string;
  readonly cutoffOf: string;
  readonly cutoffs: string;
  readonly read: string;
  readonly setFirst: string;
  readonly setNext: string;
  readonly audit: string;
  readonly audited: string;
  readonly pruneIssued: string;
  readonly pruneRevocations: string;
  readonly pruneAudit: string;
  readonly pruneRefusals: string;
}

const ISSUED =
  "serial, issuer_key_id, spiffe_id, not_before_ms, not_after_ms, key_hash, issued_at_ms, method";
const AUDITED = "time_ms, kind, caller, method, spiffe_id, serial, code, message";

/** @param schema an SQL identifier, as parsePostgresAddress lets it through. */
export function postgresStatements(schema: string): PostgresStatements {
  // Quoted: `full` or `user` is a fine name, and a reserved word.
  const s = `"${schema}"`;
  const revoke = (condition: string): string => `INSERT INTO ${s}.revocations
    SELECT (SELECT sequence FROM ${s}.news) + row_number() OVER (ORDER BY i.id), i.serial, i.issuer_key_id, i.spiffe_id, i.not_after_ms, $1, $2, $3
    FROM ${s}.issued i WHERE (${condition}) AND i.not_after_ms > $2
      AND NOT EXISTS (SELECT FROM ${s}.revocations r WHERE r.serial = i.serial AND r.issuer_key_id = i.issuer_key_id)
    RETURNING *`;
  const revokeKeys = (condition: string): string => `INSERT INTO ${s}.revoked_keys (key_hash, revoked_at_ms)
    SELECT DISTINCT key_hash, $1::bigint FROM ${s}.issued WHERE ${condition} ON CONFLICT DO NOTHING RETURNING key_hash`;
  const ofSerial = "serial = $4 AND ($5::text IS NULL OR issuer_key_id = $5)";
  return {
    channel: `"bulwark_ca_${schema}"`,
    // A revocation waits for issuing that is under way and holds new issuing up until it is committed: each certificate is recorded either before it, and revoked, or
    // after it, and refused by the cutoff. A lock of its own statement, because a statement sees what was committed when it began.
    lockForIssuing: `LOCK TABLE ${s}.cutoffs IN ROW SHARE MODE`,
    lockForRevoking: `LOCK TABLE ${s}.cutoffs IN EXCLUSIVE MODE`,
    recordIssued: `WITH input AS (
        SELECT * FROM jsonb_to_recordset($1::jsonb) AS r (n INT, serial TEXT, issuer_key_id TEXT, spiffe_id TEXT, not_before_ms BIGINT,
          not_after_ms BIGINT, key_hash TEXT, issued_at_ms BIGINT, method TEXT, proof_ms BIGINT)
      ), refused AS (
        SELECT n, CASE WHEN blocked_at_ms IS NULL THEN 'cut' ELSE 'blocked' END AS why
          FROM input JOIN ${s}.cutoffs USING (spiffe_id) WHERE proof_ms < before_ms OR blocked_at_ms IS NOT NULL
        UNION ALL SELECT n, 'key' FROM input JOIN ${s}.revoked_keys USING (key_hash)
        UNION ALL SELECT n, 'issuer' FROM input i JOIN ${s}.revocations r ON r.subject_key_id = i.issuer_key_id
      ), added AS (
        INSERT INTO ${s}.issued (${ISSUED}) SELECT ${ISSUED} FROM input WHERE n NOT IN (SELECT n FROM refused) ORDER BY n
        ON CONFLICT DO NOTHING RETURNING serial, issuer_key_id
      ) SELECT n, (SELECT min(why) FROM refused WHERE refused.n = input.n) AS refused,
          (serial, issuer_key_id) IN (SELECT serial, issuer_key_id FROM added) AS added FROM input`,
    issuedPage: `SELECT * FROM ${s}.issued WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR spiffe_id = $2)
      AND ($3::text IS NULL OR serial = $3) AND ($4::bigint IS NULL OR not_after_ms > $4) ORDER BY id DESC LIMIT $5`,
    drawCutoff: `INSERT INTO ${s}.cutoffs AS c (spiffe_id, before_ms) VALUES ($1, $2) ON CONFLICT (spiffe_id) DO UPDATE SET before_ms = excluded.before_ms
      WHERE excluded.before_ms > c.before_ms RETURNING before_ms`,
    block: `UPDATE ${s}.cutoffs SET blocked_at_ms = $2, blocked_by = $3 WHERE spiffe_id = $1 AND blocked_at_ms IS NULL RETURNING before_ms`,
    unblock: `UPDATE ${s}.cutoffs SET blocked_at_ms = NULL, blocked_by = NULL WHERE spiffe_id = $1 AND blocked_at_ms IS NOT NULL RETURNING before_ms`,
    isOnRecord: `SELECT FROM ${s}.issued WHERE serial = $1 AND ($2::text IS NULL OR issuer_key_id = $2) LIMIT 1`,
    revokeKeysOfSerial: revokeKeys("serial = $2 AND ($3::text IS NULL OR issuer_key_id = $3)"),
    revokeKeysOfIdentity: revokeKeys("spiffe_id = $2 AND not_after_ms > $1"),
    revokeSerial: revoke(`i.key_hash IN (SELECT key_hash FROM ${s}.issued WHERE ${ofSerial})`),
    revokeIdentity: revoke(
      `i.spiffe_id = $4 OR i.key_hash IN (SELECT key_hash FROM ${s}.issued WHERE spiffe_id = $4 AND not_after_ms > $2)`,
    ),
    revokeAuthority: `INSERT INTO ${s}.revocations SELECT sequence + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM ${s}.news
      WHERE $4::bigint > $6::bigint ON CONFLICT DO NOTHING RETURNING *`,
    tellNews: `WITH told AS (UPDATE ${s}.news SET sequence = sequence + $1, changes = changes + 1 RETURNING changes)
      SELECT pg_notify('bulwark_ca_${schema}', changes::text) FROM told`,
    news: `SELECT sequence, changes FROM ${s}.news`,
    revocationsSince: `SELECT * FROM ${s}.revocations WHERE sequence > $1 ORDER BY sequence`,
    revocationOf: `SELECT * FROM ${s}.revocations WHERE issuer_key_id = $1 AND serial = $2`,
    revokedKeysSince: `SELECT * FROM ${s}.revoked_keys WHERE sequence > $1 ORDER BY sequence DESC LIMIT $2`,
    cutoffOf: `SELECT * FROM ${s}.cutoffs WHERE spiffe_id = $1`,
    cutoffs: `SELECT * FROM ${s}.cutoffs ORDER BY spiffe_id`,
    read: `SELECT version, text FROM ${s}.shared_values WHERE name = $1`,
    setFirst: `INSERT INTO ${s}.shared_values VALUES ($1, 1, $2) ON CONFLICT DO NOTHING RETURNING version`,
    setNext: `UPDATE ${s}.shared_values SET version = version + 1, text = $2 WHERE name = $1 AND version = $3 RETURNING version`,
    audit: `INSERT INTO ${s}.audit (${AUDITED}) SELECT ${AUDITED} FROM jsonb_to_recordset($1::jsonb)
      AS r (n INT, time_ms BIGINT, kind TEXT, caller TEXT, method TEXT, spiffe_id TEXT, serial TEXT, code TEXT, message TEXT) ORDER BY n`,
    audited: `SELECT * FROM ${s}.audit ORDER BY id DESC LIMIT $1`,
    pruneIssued: prune(`${s}.issued`, "id", "not_after_ms < $1"),
    pruneRevocations: prune(`${s}.revocations`, "sequence", "not_after_ms < $1"),
    pruneAudit: prune(`${s}.audit`, "id", "time_ms < $1"),
    pruneRefusals: prune(
      `${s}.audit`,
      "id",
      `kind = 'refused' AND id <= (SELECT id FROM ${s}.audit WHERE kind = 'refused' ORDER BY id DESC LIMIT 1 OFFSET $1)`,
    ),
  };
}

/** Rows that another replica is removing are its own. */
function prune(table: string, key: string, condition: string): string {
  return `DELETE FROM ${table} WHERE ${key} IN (SELECT ${key} FROM ${table} WHERE ${condition} LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING ${key}`;
}
