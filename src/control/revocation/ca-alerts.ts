import type { IssuedCertificateRecord } from "../../identity/store/ca-store.ts";
import type { CertificateStatus } from "../messages.ts";
import type { CaAlert, CaAuthority } from "./messages.ts";

/** A certificate that a pod's proxy says it uses. */
export interface CertificateInUse {
  readonly pod: string;
  readonly identity: string;
  readonly certificate: CertificateStatus;
}

export interface CaPicture {
  readonly nowMs: number;
  readonly authorities: readonly CaAuthority[];
  /** Key identifiers of every certificate that this CA signs with, or has signed with. */
  readonly issuerKeyIds: ReadonlySet<string>;
  /** Every certificate that has not ended. */
  readonly live: readonly IssuedCertificateRecord[];
  /** Those issued in the last {@link RECENT_MS}, ended ones too: a thief may ask for seconds. */
  readonly recent: readonly IssuedCertificateRecord[];
  /** By identity, when it was last cut off, milliseconds since the epoch: what was issued before then has been answered. */
  readonly cutoffs: ReadonlyMap<string, number>;
  readonly isRevoked: (record: IssuedCertificateRecord) => boolean;
  readonly inUse: readonly CertificateInUse[];
  /** Serials that a pod's proxy has said it uses, at any time since `watchingSinceMs`. */
  readonly everUsed: ReadonlySet<string>;
  readonly watchingSinceMs: number;
}

/** Proxies renew at half of a life: one with less than this left has failed to, several times. */
const ENDING_FRACTION = 0.25;
/** Proxies report each second; a certificate that nobody uses by then is in other hands. */
const CLAIM_GRACE_MS = 5000;
const SKEW_MS = 5000;
/** So long a certificate that has ended is still told of, when it was issued. */
export const RECENT_MS = 600_000;
/** These are handed to the pod's own application, which never tells what it uses. */
const WORKLOAD_API = "workload-api";

/** What is not as it should be with a CA and its certificates. Pure. */
export function caAlerts(picture: CaPicture): readonly CaAlert[] {
  const bySerial = new Map(picture.live.map((record) => [record.serial, record]));
  return [
    ...picture.authorities.flatMap((authority) => authorityEnding(authority, picture.nowMs)),
    ...picture.inUse.flatMap((use) => ofUse(use, bySerial.get(use.certificate.serial), picture)),
    ...picture.live.flatMap((record) => ofRecord(record, picture)),
    ...twoKeys(picture),
  ];
}

const DAY_MS = 86_400_000;
const AUTHORITY_NOTICE_MS = 30 * DAY_MS;

function authorityEnding({ role, keyId, notAfter }: CaAuthority, nowMs: number): CaAlert[] {
  const leftMs = Date.parse(notAfter) - nowMs;
  if (leftMs > AUTHORITY_NOTICE_MS) return [];
  const message = `the ${role} ${keyId.slice(0, 16)} ${leftMs <= 0 ? "has ended" : `ends in ${days(leftMs)}`}: replace it (\`bulwark ca rotate-${role}\`)`;
  return [{ kind: "authority-ending", identity: null, serial: null, message }];
}

function ofUse(
  { pod, identity, certificate }: CertificateInUse,
  record: IssuedCertificateRecord | undefined,
  { nowMs, isRevoked }: CaPicture,
): CaAlert[] {
  const { serial } = certificate;
  const alerts: CaAlert[] = [];
  const add = (kind: CaAlert["kind"], message: string) => alerts.push({ kind, identity, serial, message });
  const endMs = Date.parse(certificate.notAfter);
  const lifeMs = endMs - Date.parse(certificate.issuedAt);
  if (endMs > nowMs && endMs - nowMs < lifeMs * ENDING_FRACTION)
    add(
      "certificate-ending",
      `${pod} has not renewed its certificate, which ends in ${seconds(endMs - nowMs)}`,
    );
  if (record === undefined) {
    if (endMs > nowMs) add("not-on-record", `${pod} uses a certificate that this CA has no record of`);
    return alerts;
  }
  if (isRevoked(record)) add("revoked-in-use", `${pod} has no other certificate than a revoked one`);
  const skewMs = Date.parse(certificate.issuedAt) - record.issuedAtMs;
  if (Math.abs(skewMs) > SKEW_MS)
    add("clock-skew", `the clocks of ${pod} and of the CA are ${seconds(Math.abs(skewMs))} apart`);
  return alerts;
}

function ofRecord(record: IssuedCertificateRecord, picture: CaPicture): CaAlert[] {
  const { nowMs, issuerKeyIds, watchingSinceMs } = picture;
  const { spiffeId: identity, serial, issuerKeyId, issuedAtMs } = record;
  const alerts: CaAlert[] = [];
  // Of those from before, a rotation may have deleted the issuer's key since.
  if (issuedAtMs > watchingSinceMs && !issuerKeyIds.has(issuerKeyId))
    alerts.push({
      kind: "unexpected-issuer",
      identity,
      serial,
      message: `issued under the key ${issuerKeyId.slice(0, 16)}, which is none of this CA's`,
    });
  if (issuedAtMs - nowMs > SKEW_MS)
    alerts.push({
      kind: "clock-skew",
      identity,
      serial,
      message: `issued ${seconds(issuedAtMs - nowMs)} in the future: the clocks of the CA's replicas differ`,
    });
  return alerts;
}

/**
 * A certificate of a pod's identity, live or issued lately, that no proxy has ever said is its own: somebody else asked for it, with the pod's token or another proof.
 * Judged only where a proxy would have told: of identities that connected pods have, since this control plane watches.
 */
function twoKeys(picture: CaPicture): CaAlert[] {
  const { nowMs, live, recent, isRevoked, inUse, everUsed, watchingSinceMs, cutoffs } = picture;
  const holders = new Map<string, string[]>();
  for (const { identity, pod } of inUse) holders.set(identity, [...(holders.get(identity) ?? []), pod]);
  const records = new Map(
    [...live, ...recent].map((record) => [`${record.issuerKeyId} ${record.serial}`, record]),
  );
  return [...records.values()]
    .filter(({ spiffeId, serial }) => holders.has(spiffeId) && !everUsed.has(serial))
    .filter(({ method }) => method !== WORKLOAD_API)
    .filter(({ issuedAtMs }) => issuedAtMs > watchingSinceMs && nowMs - issuedAtMs > CLAIM_GRACE_MS)
    .filter(({ spiffeId, issuedAtMs }) => issuedAtMs >= (cutoffs.get(spiffeId) ?? 0))
    .filter((record) => !isRevoked(record))
    .map((record) => ({
      kind: "two-keys" as const,
      identity: record.spiffeId,
      serial: record.serial,
      message: `a key that no proxy of ${(holders.get(record.spiffeId) ?? []).join(", ")} has is certified for their identity (asked for by ${record.method}); if nobody should have it: ${answerTo(record)}`,
    }));
}

/** Who has the pod's token, or a certificate that renews itself, only asks again when a serial is revoked. */
function answerTo({ method, spiffeId, serial }: IssuedCertificateRecord): string {
  const target = method === "token" || method === "certificate" ? spiffeId : serial;
  return `bulwark ca revoke ${target} --reason keyCompromise`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function days(ms: number): string {
  return ms < DAY_MS ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / DAY_MS)} d`;
}
