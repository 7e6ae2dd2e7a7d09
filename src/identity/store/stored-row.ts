import { parseSpiffeId, type SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type {
  AuditRecord,
  IdentityCutoff,
  IssuedCertificateRecord,
  Revocation,
  RevocationReason,
  RevokedKey,
} from "./ca-store.ts";

/** A row of either database: the columns have the same names, 64-bit integers may come as text. */
export type StoredRow = Readonly<Record<string, unknown>>;

export function toIssued(row: StoredRow): IssuedCertificateRecord {
  return {
    serial: String(row.serial),
    issuerKeyId: String(row.issuer_key_id),
    spiffeId: storedSpiffeId(row.spiffe_id),
    notBeforeMs: Number(row.not_before_ms),
    notAfterMs: Number(row.not_after_ms),
    keyHash: String(row.key_hash),
    issuedAtMs: Number(row.issued_at_ms),
    method: String(row.method),
  };
}

export function toRevocation(row: StoredRow): Revocation {
  return {
    sequence: Number(row.sequence),
    serial: String(row.serial),
    issuerKeyId: String(row.issuer_key_id),
    spiffeId: storedSpiffeId(row.spiffe_id),
    notAfterMs: Number(row.not_after_ms),
    // Only this room writes the column, from a value of this type.
    reason: String(row.reason) as RevocationReason,
    revokedAtMs: Number(row.revoked_at_ms),
    by: String(row.revoked_by),
    ...(typeof row.subject_key_id === "string" ? { subjectKeyId: row.subject_key_id } : {}),
  };
}

export function toRevokedKey(row: StoredRow): RevokedKey {
  return { sequence: Number(row.sequence), keyHash: String(row.key_hash) };
}

export function toCutoff(row: StoredRow): IdentityCutoff {
  const { blocked_at_ms: sinceMs, blocked_by: by } = row;
  return {
    spiffeId: storedSpiffeId(row.spiffe_id),
    beforeMs: Number(row.before_ms),
    ...(sinceMs === null ? {} : { block: { sinceMs: Number(sinceMs), by: String(by) } }),
  };
}

export function toAudit(row: StoredRow): AuditRecord {
  return {
    timeMs: Number(row.time_ms),
    kind: String(row.kind) as AuditRecord["kind"],
    caller: textOrNull(row.caller),
    method: textOrNull(row.method),
    spiffeId: textOrNull(row.spiffe_id),
    serial: textOrNull(row.serial),
    code: textOrNull(row.code),
    message: String(row.message),
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function storedSpiffeId(value: unknown): SpiffeId {
  const id = parseSpiffeId(String(value))?.id;
  if (id !== undefined) return id;
  throw new BulwarkError(
    "BW_CA_STORE_DAMAGED",
    "the CA's records hold a name that is no SPIFFE ID; restore them from a backup",
  );
}

/** Far above any message that a person should read. */
const MAX_AUDIT_CHARS = 2000;

/** Text that every database takes: of bounded length, without NUL and lone surrogates. */
export function cleanAudit(record: AuditRecord): AuditRecord {
  const clean = (text: string): string =>
    text.slice(0, MAX_AUDIT_CHARS).replaceAll("\0", "\u{fffd}").toWellFormed();
  const orNull = (text: string | null): string | null => (text === null ? null : clean(text));
  return {
    timeMs: record.timeMs,
    kind: record.kind,
    caller: orNull(record.caller),
    method: orNull(record.method),
    spiffeId: orNull(record.spiffeId),
    serial: orNull(record.serial),
    code: orNull(record.code),
    message: clean(record.message),
  };
}
