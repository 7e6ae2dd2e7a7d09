import type { CertificateAuthority } from "../../identity/ca.ts";
import { readCertificate, readSubjectKeyId } from "../../identity/certificate-der.ts";
import type { CrlIssuer } from "../../identity/revocation/crl-issuer.ts";
import type {
  CaStore,
  IssuedCertificateRecord,
  RevocationReason,
  RevocationTarget,
} from "../../identity/store/ca-store.ts";
import { parseSpiffeId, type SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../../substrate/assignment.ts";
import { fieldsOf, numberField, textField } from "../messages.ts";
import type { RpcHandler } from "../rpc.ts";
import { type CertificateInUse, caAlerts, RECENT_MS } from "./ca-alerts.ts";
import {
  type CaAuthority,
  type CaCertificate,
  type CaReport,
  type CrlReport,
  type CutOff,
  REVOCATION_REASONS,
  type RestoreReport,
  type RevocationEvent,
  type RevokeReport,
} from "./messages.ts";
import type { RevocationService } from "./revocation-service.ts";

export interface CaMethodsOptions {
  readonly ca: Pick<
    CertificateAuthority,
    "trustDomain" | "trustBundle" | "issuerCertificate" | "signer" | "signerOf" | "manifest"
  >;
  readonly crls: CrlIssuer;
  readonly store: CaStore;
  readonly revocations: RevocationService;
  readonly pods: () => readonly PodAssignment[];
  /** What the connected proxies say that they use. */
  readonly inUse: () => readonly CertificateInUse[];
  readonly everUsed: () => ReadonlySet<string>;
  /** Key identifiers of the intermediates that have signed since `startedAtMs`. */
  readonly seenIssuers: () => ReadonlySet<string>;
  readonly tell: (event: RevocationEvent) => void;
  readonly startedAtMs: number;
}

/** Certificates that one answer lists at most. */
export const MAX_CERTIFICATES = 10_000;

/** What the command line may ask about the CA, besides its status: see adminMethods. */
export function caMethods(options: CaMethodsOptions): Readonly<Record<string, RpcHandler>> {
  return {
    "ca.status": (params) => caReport(options, params),
    "ca.revoke": (params) => revoke(options, params),
    "ca.restore": (params) => restore(options, params),
    "ca.cutoffs": () => cutOffs(options),
    "ca.crl": (params) => crl(options, params),
  };
}

async function revoke(options: CaMethodsOptions, params: unknown): Promise<RevokeReport> {
  const target = targetOf(options, params);
  const outcome = await options.revocations.revoke(target, { reason: reasonOf(params), by: "cli" });
  const cutOff = "spiffeId" in target ? target.spiffeId : null;
  if (cutOff !== null) await tellCutOff(options, cutOff);
  const runAs = new Set(cutOff === null ? outcome.revoked.map(({ identity }) => identity) : [cutOff]);
  const workloads = options.pods().filter(({ spiffeId }) => runAs.has(spiffeId));
  return { ...outcome, cutOff, workloads: [...new Set(workloads.map(({ workload }) => workload))] };
}

async function tellCutOff({ store, tell }: CaMethodsOptions, identity: SpiffeId): Promise<void> {
  const cutoff = await store.cutoffOf(identity);
  if (cutoff !== undefined) tell({ kind: "identity-cut-off", identity, beforeMs: cutoff.beforeMs });
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_… */
async function restore(options: CaMethodsOptions, params: unknown): Promise<RestoreReport> {
  const target = targetOf(options, params);
  if (!("spiffeId" in target))
    throw new BulwarkError("BW_CLI_INPUT", "a certificate stays revoked; name an identity or a workload");
  const pods = options.pods().filter(({ spiffeId }) => spiffeId === target.spiffeId);
  if (pods.length === 0)
    throw new BulwarkError("BW_CLI_INPUT", `no pod of the mesh runs as \`${target.spiffeId}\``);
  await options.store.audit({
    timeMs: Date.now(),
    kind: "revoked",
    caller: "cli",
    method: null,
    spiffeId: target.spiffeId,
    serial: null,
    code: null,
    message: "the identity was let back in",
  });
  options.tell({ kind: "identity-restored", identity: target.spiffeId });
  return { identity: target.spiffeId, pods: pods.map(podKey) };
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_…, BW_KEY_… */
async function crl({ ca, crls }: CaMethodsOptions, params: unknown): Promise<CrlReport> {
  const { issuer: keyId, delta } = fieldsOf(params);
  const issuer = typeof keyId === "string" ? await ca.signerOf(keyId) : ca.signer;
  if (issuer === undefined) throw new BulwarkError("BW_CLI_INPUT", "this CA has no key with that identifier");
  const pair = await crls.current(issuer);
  return {
    issuerKeyId: issuer.subjectKeyId.toString("hex"),
    number: pair.number,
    baseNumber: delta === true ? pair.baseNumber : null,
    nextUpdate: new Date(pair.nextUpdateMs).toISOString(),
    crl: (delta === true ? pair.delta : pair.full).toString("base64"),
  };
}

/** Of the identities that pods have: who hands out tokens does not renew what was cut off. */
async function cutOffs({ store, pods }: CaMethodsOptions): Promise<readonly CutOff[]> {
  const identities = [...new Set(pods().map(({ spiffeId }) => identityOf(spiffeId)))];
  const found = await Promise.all(identities.map((identity) => store.cutoffOf(identity)));
  return found.flatMap((cutoff) =>
    cutoff === undefined ? [] : [{ identity: cutoff.spiffeId, beforeMs: cutoff.beforeMs }],
  );
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_RPC_BAD_PARAMS */
function targetOf({ pods }: CaMethodsOptions, params: unknown): RevocationTarget {
  const fields = fieldsOf(params);
  if (fields.serial !== undefined) return { serial: serialOf(textField(params, "serial")) };
  if (fields.spiffeId !== undefined) return { spiffeId: identityOf(textField(params, "spiffeId")) };
  const workload = textField(params, "workload");
  const pod = pods().find((candidate) => candidate.workload === workload);
  if (pod === undefined) throw new BulwarkError("BW_CLI_INPUT", `the mesh has no workload \`${workload}\``);
  return { spiffeId: identityOf(pod.spiffeId) };
}

function identityOf(text: string): SpiffeId {
  const parsed = parseSpiffeId(text);
  if (parsed !== undefined && parsed.path !== "") return parsed.id;
  throw new BulwarkError("BW_CLI_INPUT", `\`${text}\` is no SPIFFE ID of a workload`);
}

/** As records have it: lower case, no colons, no leading zero byte. */
function serialOf(text: string): string {
  const digits = text.replaceAll(":", "").toLowerCase();
  if (/^[0-9a-f]{1,40}$/.test(digits)) {
    const whole = digits.length % 2 === 0 ? digits : `0${digits}`;
    return whole.replace(/^(00)+(?=..)/, "");
  }
  throw new BulwarkError("BW_CLI_INPUT", `\`${text}\` is no serial number: write it in hexadecimal`);
}

function reasonOf(params: unknown): RevocationReason {
  const { reason = "unspecified" } = fieldsOf(params);
  const known = REVOCATION_REASONS.find((one) => one === reason);
  if (known !== undefined) return known;
  throw new BulwarkError("BW_CLI_INPUT", `no such reason; there are ${REVOCATION_REASONS.join(", ")}`);
}

async function caReport(options: CaMethodsOptions, params: unknown): Promise<CaReport> {
  const limit = numberField(params, "limit", 1, MAX_CERTIFICATES);
  const everything = fieldsOf(params).ended === true;
  // Before the records are read: what is in use is on record, so what is not found is told of.
  const inUse = options.inUse();
  const nowMs = Date.now();
  const records = await recordsOf(options.store, everything ? 0 : nowMs, MAX_CERTIFICATES);
  const recent = await recordsOf(options.store, nowMs - RECENT_MS, MAX_CERTIFICATES);
  const cutoffs = await cutOffs(options);
  const revocations = new Map(
    (await options.store.revocationsSince(0)).map((one) => [`${one.issuerKeyId} ${one.serial}`, one]),
  );
  const revocationOf = (record: IssuedCertificateRecord) =>
    revocations.get(`${record.issuerKeyId} ${record.serial}`);
  const users = new Map(inUse.map(({ pod, certificate }) => [certificate.serial, pod]));
  const authorities = authoritiesOf(options.ca);
  return {
    trustDomain: options.ca.trustDomain,
    store: options.store.name,
    authorities,
    certificates: records.slice(0, limit).map((record): CaCertificate => {
      const revoked = revocationOf(record);
      return {
        serial: record.serial,
        identity: record.spiffeId,
        issuerKeyId: record.issuerKeyId,
        issuedAt: new Date(record.issuedAtMs).toISOString(),
        notAfter: new Date(record.notAfterMs).toISOString(),
        method: record.method,
        status: revoked !== undefined ? "revoked" : record.notAfterMs <= nowMs ? "ended" : "valid",
        revoked:
          revoked === undefined
            ? null
            : { at: new Date(revoked.revokedAtMs).toISOString(), reason: revoked.reason, by: revoked.by },
        usedBy: users.get(record.serial) ?? null,
      };
    }),
    more: records.length > limit,
    alerts: caAlerts({
      nowMs,
      authorities,
      issuerKeyIds: options.seenIssuers(),
      live: records.filter(({ notAfterMs }) => notAfterMs > nowMs),
      recent: recent.filter(({ issuedAtMs }) => issuedAtMs > nowMs - RECENT_MS),
      cutoffs: new Map(cutoffs.map(({ identity, beforeMs }) => [identity, beforeMs])),
      isRevoked: (record) => revocationOf(record) !== undefined,
      inUse,
      everUsed: options.everUsed(),
      watchingSinceMs: options.startedAtMs,
    }),
  };
}

async function recordsOf(store: CaStore, endsAfterMs: number, limit: number) {
  const records: IssuedCertificateRecord[] = [];
  for await (const record of store.issued({ endsAfterMs, limit: limit + 1 })) records.push(record);
  return records;
}

function authoritiesOf({ trustBundle, issuerCertificate }: CaMethodsOptions["ca"]): CaAuthority[] {
  return [
    ...trustBundle.map((root) => authority("root", root)),
    authority("intermediate", issuerCertificate),
  ];
}

function authority(role: CaAuthority["role"], certificate: Buffer): CaAuthority {
  const fields = readCertificate(certificate);
  const keyId = readSubjectKeyId(fields) ?? "";
  return { role, keyId, notAfter: fields.notAfter.toISOString() };
}
