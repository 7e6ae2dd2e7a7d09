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
 * A live certificate of a pod's identity that no proxy has ever said is its own: somebody else asked for it, with the pod's token or another proof.
 * Judged only where a proxy would have told: of identities that connected pods have, since this control plane watches.
 */
function twoKeys({ nowMs, live, isRevoked, inUse, everUsed, watchingSinceMs }: CaPicture): CaAlert[] {
  const holders = new Map<string, string[]>();
  for (const { identity, pod } of inUse) holders.set(identity, [...(holders.get(identity) ?? []), pod]);
  return live
    .filter(({ spiffeId, serial }) => holders.has(spiffeId) && !everUsed.has(serial))
    .filter(({ issuedAtMs }) => issuedAtMs > watchingSinceMs && nowMs - issuedAtMs > CLAIM_GRACE_MS)
    .filter((record) => !isRevoked(record))
    .map(({ spiffeId, serial, method }) => ({
      kind: "two-keys" as const,
      identity: spiffeId,
      serial,
      message: `a key that no proxy of ${(holders.get(spiffeId) ?? []).join(", ")} has is certified for their identity (asked for by ${method}); if nobody should have it: bulwark ca revoke ${serial} --reason keyCompromise`,
    }));
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function days(ms: number): string {
  return ms < DAY_MS ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / DAY_MS)} d`;
}
