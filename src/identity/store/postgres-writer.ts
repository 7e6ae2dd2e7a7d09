import type { SpiffeId } from "../../model/spiffe-id.ts";
import type { BulwarkError } from "../../resources/bulwark-error.ts";
import type {
  AuditRecord,
  IssuanceProof,
  IssuedCertificateRecord,
  Revocation,
  RevocationTarget,
  RevokeHow,
} from "./ca-store.ts";
import type { Outcome } from "./group-commit.ts";
import type { PostgresPool, Query } from "./postgres-pool.ts";
import type { PostgresStatements } from "./postgres-statements.ts";
import type { PruneLimits } from "./retention.ts";
import { blocked, cutOff, issuerRevoked, keyRevoked, serialTaken, unknownSerial } from "./store-failure.ts";
import { type StoredRow, toRevocation } from "./stored-row.ts";

interface Issuance {
  readonly record: IssuedCertificateRecord;
  readonly proof: IssuanceProof | undefined;
}

/** The changes of {@link PostgresCaStore}: each of these methods is one transaction. */
export class PostgresWriter {
  readonly #pool: PostgresPool;
  readonly #sql: PostgresStatements;
  readonly #name: string;

  constructor(pool: PostgresPool, sql: PostgresStatements, name: string) {
    this.#pool = pool;
    this.#sql = sql;
    this.#name = name;
  }

  async recordIssued(items: readonly Issuance[]): Promise<readonly Outcome[]> {
    const firsts = firstOfEach(items);
    const input = JSON.stringify([...firsts.values()].map((n) => issuanceRow(items, n)));
    const rows = await this.#pool.transaction(
      (query) => query(this.#sql.recordIssued, [input]),
      this.#sql.lockForIssuing,
    );
    const byItem = new Map(rows.map((row) => [Number(row.n), row]));
    return items.map(({ record }, n) => this.#outcome(record, byItem.get(n)));
  }

  async audit(records: readonly AuditRecord[]): Promise<readonly Outcome[]> {
    const input = records.map((record, n) => ({
      n,
      time_ms: record.timeMs,
      kind: record.kind,
      caller: record.caller,
      method: record.method,
      spiffe_id: record.spiffeId,
      serial: record.serial,
      code: record.code,
      message: record.message,
    }));
    await this.#pool.query(this.#sql.audit, [JSON.stringify(input)]);
    return [];
  }

  revoke(target: RevocationTarget, how: RevokeHow): Promise<readonly Revocation[]> {
    return this.#pool.transaction(async (query) => {
      const drawn = "spiffeId" in target ? await this.#drawCutoff(query, target.spiffeId, how) : 0;
      const keys = await this.#revokeKeys(query, target, how);
      const revocations = (await this.#insertRevocations(query, target, how)).map(toRevocation);
      if (revocations.length > 0 || drawn > 0 || keys > 0)
        await query(this.#sql.tellNews, [revocations.length]);
      return revocations.sort((a, b) => a.sequence - b.sequence);
    }, this.#sql.lockForRevoking);
  }

  unblock(spiffeId: SpiffeId): Promise<boolean> {
    return this.#pool.transaction(async (query) => {
      const [lifted] = await query(this.#sql.unblock, [spiffeId]);
      if (lifted !== undefined) await query(this.#sql.tellNews, [0]);
      return lifted !== undefined;
    }, this.#sql.lockForRevoking);
  }

  async pruneSlice({ endedBeforeMs, auditedBeforeMs, refusals, rows }: PruneLimits): Promise<number> {
    const slices = [
      [this.#sql.pruneIssued, endedBeforeMs],
      [this.#sql.pruneRevocations, endedBeforeMs],
      [this.#sql.pruneAudit, auditedBeforeMs],
      [this.#sql.pruneRefusals, refusals],
    ] as const;
    let sum = 0;
    for (const [statement, limit] of slices) sum += (await this.#pool.query(statement, [limit, rows])).length;
    return sum;
  }

  async #insertRevocations(
    query: Query,
    target: RevocationTarget,
    how: RevokeHow,
  ): Promise<readonly StoredRow[]> {
    const values = [how.reason, how.atMs, how.by];
    if ("spiffeId" in target) return query(this.#sql.revokeIdentity, [...values, target.spiffeId]);
    if ("serial" in target)
      return query(this.#sql.revokeSerial, [...values, target.serial, target.issuerKeyId ?? null]);
    const { serial, issuerKeyId, spiffeId, notAfterMs, subjectKeyId } = target.authority;
    const authority = [serial, issuerKeyId, spiffeId, notAfterMs];
    return query(this.#sql.revokeAuthority, [...authority, ...values, subjectKeyId]);
  }

  async #drawCutoff(query: Query, spiffeId: SpiffeId, { atMs, block, by }: RevokeHow): Promise<number> {
    const drawn = await query(this.#sql.drawCutoff, [spiffeId, atMs]);
    const barred = block === true ? await query(this.#sql.block, [spiffeId, atMs, by]) : [];
    return drawn.length + barred.length;
  }

  /** @returns how many keys were not revoked yet. */
  async #revokeKeys(query: Query, target: RevocationTarget, { atMs }: RevokeHow): Promise<number> {
    if ("authority" in target) return 0;
    if ("spiffeId" in target)
      return (await query(this.#sql.revokeKeysOfIdentity, [atMs, target.spiffeId])).length;
    const named = [target.serial, target.issuerKeyId ?? null];
    const found = await query(this.#sql.isOnRecord, named);
    if (found.length === 0) throw unknownSerial(this.#name, target.serial);
    return (await query(this.#sql.revokeKeysOfSerial, [atMs, ...named])).length;
  }

  #outcome(record: IssuedCertificateRecord, row: StoredRow | undefined): BulwarkError | undefined {
    if (row?.refused === "blocked") return blocked(this.#name, record.spiffeId);
    if (row?.refused === "cut") return cutOff(this.#name, record.spiffeId);
    if (row?.refused === "key") return keyRevoked(this.#name);
    if (row?.refused === "issuer") return issuerRevoked(this.#name);
    return row?.added === true ? undefined : serialTaken(this.#name);
  }
}

/** One statement cannot tell two records of one certificate apart: the first goes in, the others are taken for what they are. */
function firstOfEach(items: readonly Issuance[]): ReadonlyMap<string, number> {
  const firsts = new Map<string, number>();
  for (const [n, { record }] of items.entries()) {
    const key = `${record.issuerKeyId} ${record.serial}`;
    if (!firsts.has(key)) firsts.set(key, n);
  }
  return firsts;
}

function issuanceRow(items: readonly Issuance[], n: number): Readonly<Record<string, unknown>> | undefined {
  const item = items[n];
  if (item === undefined) return undefined;
  const { record, proof } = item;
  return {
    n,
    serial: record.serial,
    issuer_key_id: record.issuerKeyId,
    spiffe_id: record.spiffeId,
    not_before_ms: record.notBeforeMs,
    not_after_ms: record.notAfterMs,
    key_hash: record.keyHash,
    issued_at_ms: record.issuedAtMs,
    method: record.method,
    proof_ms: proof?.issuedAtMs ?? record.issuedAtMs,
  };
}
