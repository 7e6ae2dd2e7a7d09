/** A CA store that keeps nothing: for tests of what stands on a store. */
import type {
  AuditRecord,
  CaStore,
  IdentityCutoff,
  IssuedCertificateRecord,
  Revocation,
  RevocationTarget,
  RevokedKey,
  VersionedValue,
} from "../../src/identity/store/ca-store.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";

export interface MemoryCaStore extends CaStore {
  /** As another replica's revocation is noticed. */
  tellNews(): void;
}

export function memoryCaStore(): MemoryCaStore {
  const records: IssuedCertificateRecord[] = [];
  const revoked: Revocation[] = [];
  const cutoffs = new Map<string, IdentityCutoff>();
  const keys: RevokedKey[] = [];
  const values = new Map<string, VersionedValue>();
  const audits: AuditRecord[] = [];
  const watchers = new Set<() => void>();
  const isRevoked = ({ issuerKeyId, serial }: IssuedCertificateRecord) =>
    revoked.some((one) => one.serial === serial && one.issuerKeyId === issuerKeyId);
  const named = (target: RevocationTarget) =>
    records.filter((record) =>
      "spiffeId" in target
        ? record.spiffeId === target.spiffeId
        : "serial" in target && record.serial === target.serial,
    );
  return {
    name: "memory",
    tellNews: () => {
      for (const watcher of watchers) watcher();
    },
    async recordIssued(record) {
      records.push(record);
    },
    async *issued(filter = {}) {
      const found = records
        .toReversed()
        .filter(({ spiffeId }) => filter.spiffeId === undefined || spiffeId === filter.spiffeId)
        .filter(({ serial }) => filter.serial === undefined || serial === filter.serial)
        .filter(({ notAfterMs }) => notAfterMs > (filter.endsAfterMs ?? 0));
      yield* found.slice(0, filter.limit ?? found.length);
    },
    async revoke(target, { reason, by, atMs, block }) {
      const found = named(target);
      if ("serial" in target && found.length === 0)
        throw new BulwarkError("BW_CA_STORE_UNKNOWN_SERIAL", "no certificate has that serial");
      if ("spiffeId" in target)
        cutoffs.set(target.spiffeId, {
          spiffeId: target.spiffeId,
          beforeMs: atMs,
          ...(block === true ? { block: { sinceMs: atMs, by } } : {}),
        });
      const doubted = new Set(found.map(({ keyHash }) => keyHash));
      for (const keyHash of doubted)
        if (!keys.some((key) => key.keyHash === keyHash)) keys.push({ sequence: keys.length + 1, keyHash });
      const news = records
        .filter(({ keyHash }) => doubted.has(keyHash))
        .filter((record) => !isRevoked(record) && record.notAfterMs > atMs)
        .map(({ serial, issuerKeyId, spiffeId, notAfterMs }, index) => ({
          sequence: revoked.length + index + 1,
          serial,
          issuerKeyId,
          spiffeId,
          notAfterMs,
          reason,
          revokedAtMs: atMs,
          by,
        }));
      revoked.push(...news);
      return news;
    },
    revocationsSince: async (sequence) => revoked.filter((one) => one.sequence > sequence),
    revocationOf: async (issuerKeyId, serial) =>
      revoked.find((one) => one.serial === serial && one.issuerKeyId === issuerKeyId),
    revokedKeysSince: async (sequence) => keys.filter((key) => key.sequence > sequence),
    cutoffs: async () => [...cutoffs.values()],
    async unblock(spiffeId) {
      const cutoff = cutoffs.get(spiffeId);
      if (cutoff?.block === undefined) return false;
      cutoffs.set(spiffeId, { spiffeId, beforeMs: cutoff.beforeMs });
      return true;
    },
    cutoffOf: async (spiffeId) => cutoffs.get(spiffeId),
    watchRevocations(onNews, signal) {
      watchers.add(onNews);
      signal.addEventListener("abort", () => watchers.delete(onNews));
    },
    read: async (name) => values.get(name) ?? { version: 0, text: "" },
    async compareAndSet(name, expectedVersion, text) {
      if ((values.get(name)?.version ?? 0) !== expectedVersion) return false;
      values.set(name, { version: expectedVersion + 1, text });
      return true;
    },
    async audit(record) {
      audits.push(record);
    },
    audited: async (limit) => audits.toReversed().slice(0, limit),
    prune: async () => 0,
    async close() {},
  };
}
