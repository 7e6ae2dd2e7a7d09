import type { CertificateAuthority } from "../../identity/ca.ts";
import { readCertificate, readSubjectKeyId } from "../../identity/certificate-der.ts";
import type { CrlIssuer } from "../../identity/revocation/crl-issuer.ts";
import type { Issuer } from "../../identity/sign.ts";
import type {
  CaStore,
  IdentityCutoff,
  IssuedCertificateRecord,
  RevocationReason,
  RevocationTarget,
} from "../../identity/store/ca-store.ts";
import { parseSpiffeId, type SpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { podKey, type SessionHolder } from "../../substrate/assignment.ts";
import { fieldsOf, numberField, textField } from "../messages.ts";
import type { RpcHandler } from "../rpc.ts";
import { type CertificateInUse, caAlerts, RECENT_MS } from "./ca-alerts.ts";
import type { IntermediateRevocation } from "./intermediate-revocation.ts";
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
    "trustDomain" | "trustBundle" | "issuerCertificate" | "signer" | "signerOf" | "rootSigners" | "manifest"
  >;
  readonly crls: CrlIssuer;
  readonly store: CaStore;
  readonly revocations: RevocationService;
  readonly intermediates: Pick<IntermediateRevocation, "revoke" | "pending">;
  /** Pods and ztunnels. */
  readonly holders: () => readonly SessionHolder[];
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
    "ca.revoke-intermediate": (params) => {
      const { intermediate } = fieldsOf(params);
      const name = typeof intermediate === "string" ? intermediate : undefined;
      return options.intermediates.revoke(name, reasonOf(params), "cli");
    },
    "ca.restore": (params) => restore(options, params),
    "ca.unblock": (params) => unblock(options, params),
    "ca.cutoffs": () => cutOffs(options),
    "ca.crl": (params) => crl(options, params),
  };
}

/** @throws {BulwarkError} BW_CLI_INPUT: nothing was revoked; BW_CA_STORE_… */
async function revoke(options: CaMethodsOptions, params: unknown): Promise<RevokeReport> {
  const target = targetOf(options, params);
  const blocked = fieldsOf(params).block === true;
  await refuseNothingToRevoke(options, target, blocked);
  const how = { reason: reasonOf(params), by: "cli", ...(blocked ? { block: true } : {}) };
  const outcome = await options.revocations.revoke(target, how).catch((error: unknown) => {
    if (!(error instanceof BulwarkError) || error.code !== "BW_CA_STORE_UNKNOWN_SERIAL") throw error;
    throw new BulwarkError("BW_CLI_INPUT", `nothing was revoked: ${error.message}`);
  });
  const cutOff = "spiffeId" in target ? target.spiffeId : null;
  if (cutOff !== null) await tellCutOff(options, cutOff);
  const runAs = new Set(cutOff === null ? outcome.revoked.map(({ identity }) => identity) : [cutOff]);
  const workloads = options.holders().filter(({ spiffeId }) => runAs.has(spiffeId));
  return { ...outcome, cutOff, blocked, workloads: [...new Set(workloads.map(({ workload }) => workload))] };
}

/** A name that was mistyped must not look like a revocation. @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_… */
async function refuseNothingToRevoke(
  { ca, holders, store }: CaMethodsOptions,
  target: RevocationTarget,
  blocked: boolean,
): Promise<void> {
  if (!("spiffeId" in target)) {
    if (!blocked) return;
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "only an identity can be blocked; the key of a revoked certificate is",
    );
  }
  const { spiffeId } = target;
  if (parseSpiffeId(spiffeId)?.trustDomain !== ca.trustDomain)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `nothing was revoked: \`${spiffeId}\` is none of ${ca.trustDomain}'s; its own CA has to revoke it`,
    );
  if (blocked || holders().some((pod) => pod.spiffeId === spiffeId)) return;
  for await (const _ of store.issued({ spiffeId, limit: 1 })) return;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    `nothing was revoked: no workload runs as \`${spiffeId}\`, and no certificate of it is on record; to have none issued: --block`,
  );
}

async function tellCutOff({ store, tell }: CaMethodsOptions, identity: SpiffeId): Promise<void> {
  const cutoff = await store.cutoffOf(identity);
  if (cutoff !== undefined) tell({ kind: "identity-cut-off", ...cutOffOf(cutoff) });
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_… */
async function restore(options: CaMethodsOptions, params: unknown): Promise<RestoreReport> {
  const target = targetOf(options, params);
  if (!("spiffeId" in target))
    throw new BulwarkError("BW_CLI_INPUT", "a certificate stays revoked; name an identity or a workload");
  const { spiffeId } = target;
  const pods = podsOf(options, spiffeId);
  if (pods.length === 0) throw new BulwarkError("BW_CLI_INPUT", `no pod of the mesh runs as \`${spiffeId}\``);
  if ((await options.store.cutoffOf(spiffeId))?.block !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", `it is blocked: bulwark ca unblock ${spiffeId}`);
  return letIn(options, spiffeId, "the identity was let back in");
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_… */
async function unblock(options: CaMethodsOptions, params: unknown): Promise<RestoreReport> {
  const target = targetOf(options, params);
  if (!("spiffeId" in target) || !(await options.store.unblock(target.spiffeId)))
    throw new BulwarkError("BW_CLI_INPUT", "no such identity is blocked: see bulwark ca status");
  return letIn(options, target.spiffeId, "the identity was unblocked, and let back in");
}

/** The identity's pods are to be given new tokens. */
async function letIn(options: CaMethodsOptions, spiffeId: SpiffeId, message: string): Promise<RestoreReport> {
  const { store, tell } = options;
  const common = { timeMs: Date.now(), kind: "revoked", caller: "cli", method: null } as const;
  await store.audit({ ...common, spiffeId, serial: null, code: null, message });
  tell({ kind: "identity-restored", identity: spiffeId });
  return { identity: spiffeId, pods: podsOf(options, spiffeId) };
}

function podsOf({ holders }: CaMethodsOptions, spiffeId: SpiffeId): readonly string[] {
  return holders()
    .filter((pod) => pod.spiffeId === spiffeId)
    .map(podKey);
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_…, BW_KEY_… */
async function crl({ ca, crls }: CaMethodsOptions, params: unknown): Promise<CrlReport> {
  const { issuer: keyId, delta, root } = fieldsOf(params);
  const issuer = await listIssuer(ca, typeof keyId === "string" ? keyId : undefined, root === true);
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

/** @throws {BulwarkError} BW_CLI_INPUT */
async function listIssuer(
  ca: CaMethodsOptions["ca"],
  keyId: string | undefined,
  isRoot: boolean,
): Promise<Issuer | undefined> {
  if (keyId === undefined && !isRoot) return ca.signer;
  const roots = await ca.rootSigners();
  if (keyId !== undefined)
    return (
      roots.find(({ subjectKeyId }) => subjectKeyId.toString("hex") === keyId) ?? (await ca.signerOf(keyId))
    );
  if (roots[0] !== undefined) return roots[0];
  throw new BulwarkError(
    "BW_CLI_INPUT",
    "there is no root's list: the root's key is not here, so whoever has it publishes one",
  );
}

/** Of the identities that pods have: who hands out tokens does not renew what was cut off. */
async function cutOffs({ store, holders }: CaMethodsOptions): Promise<readonly CutOff[]> {
  const identities = [...new Set(holders().map(({ spiffeId }) => identityOf(spiffeId)))];
  const found = await Promise.all(identities.map((identity) => store.cutoffOf(identity)));
  return found.flatMap((cutoff) => (cutoff === undefined ? [] : [cutOffOf(cutoff)]));
}

function cutOffOf({ spiffeId, beforeMs, block }: IdentityCutoff): CutOff {
  return { identity: spiffeId, beforeMs, blocked: block !== undefined };
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_RPC_BAD_PARAMS */
function targetOf({ holders }: CaMethodsOptions, params: unknown): RevocationTarget {
  const fields = fieldsOf(params);
  if (fields.serial !== undefined) return { serial: serialOf(textField(params, "serial")) };
  if (fields.spiffeId !== undefined) return { spiffeId: identityOf(textField(params, "spiffeId")) };
  const workload = textField(params, "workload");
  const pod = holders().find((candidate) => candidate.workload === workload);
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
  const inUseBeyond = await recordsInUse(options.store, inUse, records);
  const cutoffs = await options.store.cutoffs();
  const revocations = new Map(
    (await options.store.revocationsSince(0)).map((one) => [`${one.issuerKeyId} ${one.serial}`, one]),
  );
  const byAuthority = new Map(
    [...revocations.values()].flatMap((one) =>
      one.subjectKeyId === undefined ? [] : [[one.subjectKeyId, one] as const],
    ),
  );
  const revocationOf = (record: IssuedCertificateRecord) =>
    revocations.get(`${record.issuerKeyId} ${record.serial}`) ?? byAuthority.get(record.issuerKeyId);
  const users = new Map(inUse.map(({ pod, certificate }) => [certificate.serial, pod]));
  const authorities = authoritiesOf(options.ca);
  return {
    trustDomain: options.ca.trustDomain,
    store: options.store.name,
    authorities,
    revokedAuthorities: [...byAuthority].map(([keyId, { serial, revokedAtMs, reason, by }]) => ({
      keyId,
      serial,
      at: new Date(revokedAtMs).toISOString(),
      reason,
      by,
    })),
    revoking: await options.intermediates.pending(),
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
      live: [...records, ...inUseBeyond].filter(({ notAfterMs }) => notAfterMs > nowMs),
      recent: recent.filter(({ issuedAtMs }) => issuedAtMs > nowMs - RECENT_MS),
      cutoffs: new Map(cutoffs.map(({ spiffeId, beforeMs }) => [spiffeId, beforeMs])),
      isRevoked: (record) => revocationOf(record) !== undefined,
      inUse,
      everUsed: options.everUsed(),
      watchingSinceMs: options.startedAtMs,
    }),
    blocked: cutoffs.flatMap(({ spiffeId, block }) =>
      block === undefined
        ? []
        : [{ identity: spiffeId, since: new Date(block.sinceMs).toISOString(), by: block.by }],
    ),
  };
}

async function recordsOf(store: CaStore, endsAfterMs: number, limit: number) {
  const records: IssuedCertificateRecord[] = [];
  for await (const record of store.issued({ endsAfterMs, limit: limit + 1 })) records.push(record);
  return records;
}

/** Of a CA with more certificates than are listed: what proxies use is looked up by itself, or it would pass for not on record. */
async function recordsInUse(
  store: CaStore,
  inUse: readonly CertificateInUse[],
  listed: readonly IssuedCertificateRecord[],
): Promise<readonly IssuedCertificateRecord[]> {
  if (listed.length <= MAX_CERTIFICATES) return [];
  const known = new Set(listed.map(({ serial }) => serial));
  const found: IssuedCertificateRecord[] = [];
  for (const { certificate } of inUse)
    if (!known.has(certificate.serial))
      for await (const record of store.issued({ serial: certificate.serial, limit: 1 })) found.push(record);
  return found;
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
