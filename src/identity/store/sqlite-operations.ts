import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { SpiffeId } from "../../model/spiffe-id.ts";
import type {
  AuditRecord,
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
import type { IssuedPage } from "./issued-pages.ts";
import type { PruneLimits } from "./retention.ts";
import { blocked, cutOff, issuerRevoked, keyRevoked, serialTaken, unknownSerial } from "./store-failure.ts";
import { toAudit, toCutoff, toIssued, toRevocation, toRevokedKey } from "./stored-row.ts";

type Revocable = Pick<IssuedCertificateRecord, "serial" | "issuerKeyId" | "spiffeId" | "notAfterMs"> &
  Pick<Revocation, "subjectKeyId">;

/**
 * What the embedded store can be asked, each inside a transaction that the caller holds. They refuse before they change anything, except where SQLite
 * itself fails.
 */
export class SqliteOperations {
  readonly #db: DatabaseSync;
  readonly #name: string;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, name: string) {
    this.#db = db;
    this.#name = name;
  }

  recordIssued(record: IssuedCertificateRecord, proof?: IssuanceProof): void {
    this.#refuseRevoked(record, proof?.issuedAtMs ?? record.issuedAtMs);
    const { serial, issuerKeyId, spiffeId, notBeforeMs, notAfterMs, keyHash, issuedAtMs, method } = record;
    const { changes } = this.#sql(
      `INSERT INTO issued (serial, issuer_key_id, spiffe_id, not_before_ms, not_after_ms, key_hash, issued_at_ms, method)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    ).run(serial, issuerKeyId, spiffeId, notBeforeMs, notAfterMs, keyHash, issuedAtMs, method);
    if (changes === 0) throw serialTaken(this.#name);
  }

  issuedPage(filter: IssuedFilter, beforeId: number | undefined, rows: number): IssuedPage {
    const conditions = ["id < ?"];
    const values: SQLInputValue[] = [beforeId ?? Number.MAX_SAFE_INTEGER];
    const where = (condition: string, value: SQLInputValue | undefined): void => {
      if (value === undefined) return;
      conditions.push(condition);
      values.push(value);
    };
    where("spiffe_id = ?", filter.spiffeId);
    where("serial = ?", filter.serial);
    where("not_after_ms > ?", filter.endsAfterMs);
    const found = this.#sql(
      `SELECT * FROM issued WHERE ${conditions.join(" AND ")} ORDER BY id DESC LIMIT ?`,
    ).all(...values, rows);
    return { records: found.map(toIssued), lastId: Number(found.at(-1)?.id ?? 0) };
  }

  revoke(target: RevocationTarget, how: RevokeHow): readonly Revocation[] {
    const cutoffs = "spiffeId" in target ? this.#drawCutoff(target.spiffeId, how) : 0;
    const keys = this.#revokeKeys(target, how);
    const { sequence } = this.news();
    const revocations = this.#named(target, how)
      .filter(
        ({ serial, issuerKeyId, notAfterMs }) =>
          notAfterMs > how.atMs && this.revocationOf(issuerKeyId, serial) === undefined,
      )
      .map((record, i) => this.#insertRevocation(record, how, sequence + 1 + i));
    if (revocations.length > 0 || cutoffs > 0 || keys > 0)
      this.#sql("UPDATE news SET sequence = sequence + ?, changes = changes + 1").run(revocations.length);
    return revocations;
  }

  revokedKeysSince(sequence: number, limit: number): readonly RevokedKey[] {
    return this.#sql("SELECT * FROM revoked_keys WHERE sequence > ? ORDER BY sequence DESC LIMIT ?")
      .all(sequence, limit)
      .map(toRevokedKey)
      .reverse();
  }

  revocationsSince(sequence: number): readonly Revocation[] {
    return this.#sql("SELECT * FROM revocations WHERE sequence > ? ORDER BY sequence")
      .all(sequence)
      .map(toRevocation);
  }

  revocationOf(issuerKeyId: string, serial: string): Revocation | undefined {
    const row = this.#sql("SELECT * FROM revocations WHERE serial = ? AND issuer_key_id = ?").get(
      serial,
      issuerKeyId,
    );
    return row === undefined ? undefined : toRevocation(row);
  }

  cutoffOf(spiffeId: SpiffeId): IdentityCutoff | undefined {
    const row = this.#sql("SELECT * FROM cutoffs WHERE spiffe_id = ?").get(spiffeId);
    return row === undefined ? undefined : toCutoff(row);
  }

  cutoffs(): readonly IdentityCutoff[] {
    return this.#sql("SELECT * FROM cutoffs ORDER BY spiffe_id").all().map(toCutoff);
  }

  unblock(spiffeId: SpiffeId): boolean {
    const { changes } = this.#sql(
      "UPDATE cutoffs SET blocked_at_ms = NULL, blocked_by = NULL WHERE spiffe_id = ? AND blocked_at_ms IS NOT NULL",
    ).run(spiffeId);
    if (changes > 0) this.#sql("UPDATE news SET changes = changes + 1").run();
    return changes > 0;
  }

  /** Where the order of revocations stands, and a number that every revocation and cutoff raises. */
  news(): { readonly sequence: number; readonly changes: number } {
    const row = this.#sql("SELECT sequence, changes FROM news").get();
    return { sequence: Number(row?.sequence), changes: Number(row?.changes) };
  }

  read(name: string): VersionedValue {
    const row = this.#sql("SELECT version, text FROM shared_values WHERE name = ?").get(name);
    return row === undefined
      ? { version: 0, text: "" }
      : { version: Number(row.version), text: String(row.text) };
  }

  compareAndSet(name: string, expectedVersion: number, text: string): boolean {
    const { changes } =
      expectedVersion === 0
        ? this.#sql("INSERT INTO shared_values VALUES (?, 1, ?) ON CONFLICT DO NOTHING").run(name, text)
        : this.#sql(
            "UPDATE shared_values SET version = version + 1, text = ? WHERE name = ? AND version = ?",
          ).run(text, name, expectedVersion);
    return changes === 1;
  }

  audit(record: AuditRecord): void {
    const { timeMs, kind, caller, method, spiffeId, serial, code, message } = record;
    this.#sql(
      "INSERT INTO audit (time_ms, kind, caller, method, spiffe_id, serial, code, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    ).run(timeMs, kind, caller, method, spiffeId, serial, code, message);
  }

  audited(limit: number): readonly AuditRecord[] {
    return this.#sql("SELECT * FROM audit ORDER BY id DESC LIMIT ?").all(limit).map(toAudit);
  }

  /** Removes a slice of what has served its time. @returns how many rows: fewer than `limits.rows` of each kind when it is done. */
  pruneSlice(limits: PruneLimits): number {
    const { endedBeforeMs, auditedBeforeMs, refusals, rows } = limits;
    const slices: readonly (readonly [string, readonly SQLInputValue[]])[] = [
      ["issued WHERE id IN (SELECT id FROM issued WHERE not_after_ms < ? LIMIT ?)", [endedBeforeMs, rows]],
      [
        "revocations WHERE sequence IN (SELECT sequence FROM revocations WHERE not_after_ms < ? LIMIT ?)",
        [endedBeforeMs, rows],
      ],
      ["audit WHERE id IN (SELECT id FROM audit WHERE time_ms < ? LIMIT ?)", [auditedBeforeMs, rows]],
      [
        `audit WHERE id IN (SELECT id FROM audit WHERE kind = 'refused' AND id <=
           (SELECT id FROM audit WHERE kind = 'refused' ORDER BY id DESC LIMIT 1 OFFSET ?) LIMIT ?)`,
        [refusals, rows],
      ],
    ];
    return slices.reduce(
      (sum, [what, values]) => sum + Number(this.#sql(`DELETE FROM ${what}`).run(...values).changes),
      0,
    );
  }

  #refuseRevoked({ spiffeId, keyHash, issuerKeyId }: IssuedCertificateRecord, proofMs: number): void {
    const cutoff = this.cutoffOf(spiffeId);
    if (cutoff?.block !== undefined) throw blocked(this.#name, spiffeId);
    if (cutoff !== undefined && proofMs < cutoff.beforeMs) throw cutOff(this.#name, spiffeId);
    if (this.#sql("SELECT 1 FROM revoked_keys WHERE key_hash = ?").get(keyHash) !== undefined)
      throw keyRevoked(this.#name);
    if (this.#sql("SELECT 1 FROM revocations WHERE subject_key_id = ?").get(issuerKeyId) !== undefined)
      throw issuerRevoked(this.#name);
  }

  /** @returns how many keys were not revoked yet. */
  #revokeKeys(target: RevocationTarget, { atMs }: RevokeHow): number {
    if ("authority" in target) return 0;
    const keys =
      "spiffeId" in target
        ? this.#sql("SELECT DISTINCT key_hash FROM issued WHERE spiffe_id = ? AND not_after_ms > ?").all(
            target.spiffeId,
            atMs,
          )
        : this.#keysOfSerial(target.serial, target.issuerKeyId);
    return keys.reduce((sum, { key_hash: keyHash }) => {
      const insert = this.#sql(
        "INSERT INTO revoked_keys (key_hash, revoked_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
      );
      return sum + Number(insert.run(String(keyHash), atMs).changes);
    }, 0);
  }

  #keysOfSerial(serial: string, issuerKeyId: string | undefined): readonly Record<string, unknown>[] {
    const found = this.#sql(
      "SELECT key_hash FROM issued WHERE serial = ? AND issuer_key_id = coalesce(?, issuer_key_id)",
    ).all(serial, issuerKeyId ?? null);
    if (found.length === 0) throw unknownSerial(this.#name, serial);
    return found;
  }

  /** With the other certificates of their keys, which stand among the revoked ones by now. */
  #named(target: RevocationTarget, { atMs }: RevokeHow): readonly Revocable[] {
    if ("authority" in target) return [target.authority];
    const ofSame = "OR key_hash IN (SELECT key_hash FROM issued";
    if ("spiffeId" in target)
      return this.#sql(
        `SELECT * FROM issued WHERE spiffe_id = ?1 ${ofSame} WHERE spiffe_id = ?1 AND not_after_ms > ?2) ORDER BY id`,
      )
        .all(target.spiffeId, atMs)
        .map(toIssued);
    const { serial, issuerKeyId } = target;
    return this.#sql(
      `SELECT * FROM issued WHERE key_hash IN (SELECT key_hash FROM issued WHERE serial = ? AND issuer_key_id = coalesce(?, issuer_key_id)) ORDER BY id`,
    )
      .all(serial, issuerKeyId ?? null)
      .map(toIssued);
  }

  #drawCutoff(spiffeId: SpiffeId, { atMs, block, by }: RevokeHow): number {
    const { changes } = this.#sql(
      `INSERT INTO cutoffs (spiffe_id, before_ms) VALUES (?, ?) ON CONFLICT DO UPDATE SET before_ms = excluded.before_ms
       WHERE excluded.before_ms > cutoffs.before_ms`,
    ).run(spiffeId, atMs);
    if (block !== true) return Number(changes);
    const blocking = this.#sql(
      "UPDATE cutoffs SET blocked_at_ms = ?, blocked_by = ? WHERE spiffe_id = ? AND blocked_at_ms IS NULL",
    ).run(atMs, by, spiffeId);
    return Number(changes) + Number(blocking.changes);
  }

  #insertRevocation(record: Revocable, how: RevokeHow, sequence: number): Revocation {
    const { serial, issuerKeyId, spiffeId, notAfterMs, subjectKeyId } = record;
    const { reason, by, atMs } = how;
    this.#sql("INSERT INTO revocations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
      sequence,
      serial,
      issuerKeyId,
      spiffeId,
      notAfterMs,
      reason,
      atMs,
      by,
      subjectKeyId ?? null,
    );
    const revocation = { sequence, serial, issuerKeyId, spiffeId, notAfterMs, reason, revokedAtMs: atMs, by };
    return subjectKeyId === undefined ? revocation : { ...revocation, subjectKeyId };
  }

  #sql(text: string): StatementSync {
    let statement = this.#prepared.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#prepared.set(text, statement);
    }
    return statement;
  }
}
