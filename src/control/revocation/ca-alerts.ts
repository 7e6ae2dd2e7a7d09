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
/** A quarter of less is no longer than a machine may well pause: only the end itself tells there. */
const SHORT_LIFE_MS = 60_000;
/** A renewal is told of at once, but an answer and a report may cross. */
const ENDED_GRACE_MS = 1000;
/** Proxies tell of a new certificate at once, and each second of the one they have; one that nobody uses by then is in other hands. */
const CLAIM_GRACE_MS = 5000;
const SKEW_MS = 5000;
/** Another replica's new intermediate is learned of within some seconds. */
const ISSUER_GRACE_MS = 10_000;
/** So long a certificate that has ended is still told of, when it was issued. */
export const RECENT_MS = 600_000;
/** Serials that one alert names. */
const MAX_LISTED = 100;
/** These are handed to the pod's own application, which never tells what it uses. */
const WORKLOAD_API = "workload-api";

/** What is not as it should be with a CA and its certificates. Pure. */
export function caAlerts(picture: CaPicture): readonly CaAlert[] {
  const bySerial = new Map(picture.live.map((record) => [record.serial, record]));
  const records = [...recordsOf(picture)];
  return [
    ...picture.authorities.flatMap((authority) => authorityEnding(authority, picture.nowMs)),
    ...picture.inUse.flatMap((use) => ofUse(use, bySerial.get(use.certificate.serial), picture)),
    ...records.flatMap((record) => ofRecord(record, picture)),
    ...twoKeys(records, picture),
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
  const leftMs = endMs - nowMs;
  if (leftMs < -ENDED_GRACE_MS)
    add("certificate-ending", `the certificate of ${pod} has ended: it refuses everything`);
  else if (leftMs > 0 && lifeMs >= SHORT_LIFE_MS && leftMs < lifeMs * ENDING_FRACTION)
    add("certificate-ending", `${pod} has not renewed its certificate, which ends in ${seconds(leftMs)}`);
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
  if (issuedAtMs > watchingSinceMs && nowMs - issuedAtMs > ISSUER_GRACE_MS && !issuerKeyIds.has(issuerKeyId))
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

/** Live, or ended and issued lately; each once. */
function recordsOf({ live, recent }: CaPicture): Iterable<IssuedCertificateRecord> {
  return new Map(
    [...live, ...recent].map((record) => [`${record.issuerKeyId} ${record.serial}`, record]),
  ).values();
}

/**
 * Certificates of a pod's identity, live or issued lately, that no proxy has ever said are its own: somebody else asked for them, with the pod's token or another proof.
 * Judged only where a proxy would have told: of identities that connected pods have, since this control plane watches. One alert an identity.
 */
function twoKeys(records: readonly IssuedCertificateRecord[], picture: CaPicture): CaAlert[] {
  const { nowMs, isRevoked, inUse, everUsed, watchingSinceMs, cutoffs } = picture;
  const holders = new Map<string, string[]>();
  for (const { identity, pod } of inUse) holders.set(identity, [...(holders.get(identity) ?? []), pod]);
  const foreign = records
    .filter(({ spiffeId, serial }) => holders.has(spiffeId) && !everUsed.has(serial))
    .filter(({ method }) => method !== WORKLOAD_API)
    .filter(({ issuedAtMs }) => issuedAtMs > watchingSinceMs && nowMs - issuedAtMs > CLAIM_GRACE_MS)
    .filter(({ spiffeId, issuedAtMs }) => issuedAtMs >= (cutoffs.get(spiffeId) ?? 0))
    .filter((record) => !isRevoked(record));
  return [...Map.groupBy(foreign, ({ spiffeId }) => spiffeId)].flatMap(([identity, ofOne]) =>
    foreignKeys(ofOne, holders.get(identity) ?? []),
  );
}

function foreignKeys(records: readonly IssuedCertificateRecord[], pods: readonly string[]): CaAlert[] {
  const sorted = records.toSorted((one, other) => other.issuedAtMs - one.issuedAtMs);
  const [newest] = sorted;
  if (newest === undefined) return [];
  const methods = [...new Set(sorted.map(({ method }) => method))].sort().join(", ");
  const keys = new Set(sorted.map(({ keyHash, serial }) => keyHash || serial)).size;
  const what =
    keys === 1 && sorted.length === 1
      ? "a key that no proxy of"
      : `${keys} keys (${sorted.length} certificates) that no proxy of`;
  return [
    {
      kind: "two-keys",
      identity: newest.spiffeId,
      serial: newest.serial,
      serials: sorted.slice(0, MAX_LISTED).map(({ serial }) => serial),
      message: `${what} ${pods.join(", ")} has ${keys === 1 ? "is" : "are"} certified for their identity (asked for by ${methods}); if nobody should have it: ${answerTo(sorted)}`,
    },
  ];
}

const RENEW_THEMSELVES: ReadonlySet<string> = new Set(["token", "certificate", "ztunnel"]);

/** Who has the pod's token, or a certificate that renews itself, only asks again when a serial is revoked; and one serial of several is no answer. */
function answerTo(records: readonly IssuedCertificateRecord[]): string {
  const [first] = records;
  const renewsItself = records.some(({ method }) => RENEW_THEMSELVES.has(method));
  const target = renewsItself || records.length > 1 ? first?.spiffeId : first?.serial;
  return `bulwark ca revoke ${target} --reason keyCompromise`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function days(ms: number): string {
  return ms < DAY_MS ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / DAY_MS)} d`;
}
