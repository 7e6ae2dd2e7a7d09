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
  RevokeHow,
  VersionedValue,
} from "./ca-store.ts";
import type { IssuedPage } from "./issued-pages.ts";
import type { PruneLimits } from "./retention.ts";
import { cutOff, serialTaken, unknownSerial } from "./store-failure.ts";
import { toAudit, toIssued, toRevocation } from "./stored-row.ts";

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
    const cutoff = this.cutoffOf(record.spiffeId);
    if (cutoff !== undefined && (proof?.issuedAtMs ?? record.issuedAtMs) < cutoff.beforeMs)
      throw cutOff(this.#name, record.spiffeId);
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
    const cutoffs = "spiffeId" in target ? this.#drawCutoff(target.spiffeId, how.atMs) : 0;
    const named = this.#named(target);
    if (named.length === 0 && "serial" in target) throw unknownSerial(this.#name, target.serial);
    const { sequence } = this.news();
    const revocations = named
      .filter(
        ({ serial, issuerKeyId, notAfterMs }) =>
          notAfterMs > how.atMs && this.revocationOf(issuerKeyId, serial) === undefined,
      )
      .map((record, i) => this.#insertRevocation(record, how, sequence + 1 + i));
    if (revocations.length > 0 || cutoffs > 0)
      this.#sql("UPDATE news SET sequence = sequence + ?, changes = changes + 1").run(revocations.length);
    return revocations;
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
    const row = this.#sql("SELECT before_ms FROM cutoffs WHERE spiffe_id = ?").get(spiffeId);
    return row === undefined ? undefined : { spiffeId, beforeMs: Number(row.before_ms) };
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

  #named(target: RevocationTarget): readonly IssuedCertificateRecord[] {
    if ("spiffeId" in target)
      return this.#sql("SELECT * FROM issued WHERE spiffe_id = ? ORDER BY id")
        .all(target.spiffeId)
        .map(toIssued);
    const { serial, issuerKeyId } = target;
    return this.#sql(
      "SELECT * FROM issued WHERE serial = ? AND issuer_key_id = coalesce(?, issuer_key_id) ORDER BY id",
    )
      .all(serial, issuerKeyId ?? null)
      .map(toIssued);
  }

  #drawCutoff(spiffeId: SpiffeId, beforeMs: number): number {
    const { changes } = this.#sql(
      `INSERT INTO cutoffs VALUES (?, ?) ON CONFLICT DO UPDATE SET before_ms = excluded.before_ms
       WHERE excluded.before_ms > cutoffs.before_ms`,
    ).run(spiffeId, beforeMs);
    return Number(changes);
  }

  #insertRevocation(record: IssuedCertificateRecord, how: RevokeHow, sequence: number): Revocation {
    const { serial, issuerKeyId, spiffeId, notAfterMs } = record;
    const { reason, by, atMs } = how;
    this.#sql("INSERT INTO revocations VALUES (?, ?, ?, ?, ?, ?, ?, ?)").run(
      sequence,
      serial,
      issuerKeyId,
      spiffeId,
      notAfterMs,
      reason,
      atMs,
      by,
    );
    return { sequence, serial, issuerKeyId, spiffeId, notAfterMs, reason, revokedAtMs: atMs, by };
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
