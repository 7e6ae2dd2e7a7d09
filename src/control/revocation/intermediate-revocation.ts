import type { CertificateAuthority } from "../../identity/ca.ts";
import { readAuthorityKeyId, readCertificate } from "../../identity/certificate-der.ts";
import type { AuthorityRecord, CaStore, RevocationReason } from "../../identity/store/ca-store.ts";
import { trustDomainSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { RotationDriver } from "../rotation/rotation-driver.ts";
import type { IntermediateReport } from "./messages.ts";
import type { RevocationService } from "./revocation-service.ts";

export interface IntermediateRevocationOptions {
  readonly ca: Pick<CertificateAuthority, "manifest" | "issuer" | "issuerCertificate" | "trustDomain">;
  readonly store: Pick<CaStore, "read" | "compareAndSet" | "audit">;
  readonly revocations: Pick<RevocationService, "revoke" | "authorityRevocation">;
  readonly rotation: Pick<RotationDriver, "rotate" | "report">;
  /** A revocation that was begun could not be finished; it is tried again. */
  readonly onProblem: (error: unknown) => void;
  /** How long workloads have to renew before the old intermediate is revoked all the same. */
  readonly patienceMs?: number;
}

/** What was begun, kept in the store until it is done. */
interface Intent {
  readonly authority: AuthorityRecord;
  readonly reason: RevocationReason;
  readonly by: string;
}

/** Shared values of the store. */
const AUTHORITIES = "authorities";
const INTENT = "revoking-intermediate";
const MAX_AUTHORITIES = 200;
const MAX_TRIES = 20;
const PATIENCE_MS = 10_000;
const POLL_MS = 50;

/**
 * Revokes an intermediate: a new one signs first, workloads renew, and then the old one is revoked, which refuses every certificate under it and cuts the
 * connections that stand on one. What was begun is in the store before anything changes, so that a control plane that was killed finishes it; each step can be
 * made twice. Certificates of former intermediates are deleted with their keys, so what a revocation names of them is kept in the store as well.
 */
export class IntermediateRevocation {
  readonly #options: IntermediateRevocationOptions;
  #noted = "";
  #isPending = true;
  #running: Promise<IntermediateReport> | undefined;

  constructor(options: IntermediateRevocationOptions) {
    this.#options = options;
  }

  /** Every second: notes who signs, finishes what was begun, and replaces an intermediate that another replica revoked. Never rejects. */
  async look(): Promise<void> {
    try {
      await this.#noteSigner();
      if (this.#isPending && this.#running === undefined) await this.#resume();
      const { ca, revocations, rotation } = this.#options;
      const isReplaceable = ca.manifest !== undefined && ca.manifest.rotation === undefined;
      if (isReplaceable && revocations.authorityRevocation(ca.issuer.keyId) !== undefined)
        await rotation.rotate("intermediate", { force: true, by: "revocation", overlapMs: 0 });
    } catch (error) {
      this.#options.onProblem(error);
    }
  }

  /** The key identifier of one whose revocation was begun and is not done. */
  async pending(): Promise<string | null> {
    return (await this.#intent())?.authority.subjectKeyId ?? null;
  }

  /**
   * @param name key identifier or serial, hexadecimal; undefined: the one that signs now, or whose revocation was begun.
   * @throws {BulwarkError} BW_CLI_INPUT, BW_CA_PLUGGED_IN, BW_CA_ROTATION_UNDER_WAY, BW_CA_ROOT_KEY_AWAY, BW_CA_STORE_…: nothing was revoked.
   */
  async revoke(name: string | undefined, reason: RevocationReason, by: string): Promise<IntermediateReport> {
    await this.#noteSigner();
    const begun = await this.#intent();
    const authority = await this.#authority(name, begun);
    if (begun !== undefined && begun.authority.subjectKeyId !== authority.subjectKeyId)
      throw underWay(`the intermediate ${begun.authority.subjectKeyId} is being revoked`);
    this.#refuseWhereImpossible(name, begun);
    const intent = begun ?? { authority, reason, by };
    if (begun === undefined) await this.#begin(intent);
    return this.#finish(intent);
  }

  #refuseWhereImpossible(name: string | undefined, begun: Intent | undefined): void {
    const { manifest } = this.#options.ca;
    if (manifest === undefined)
      throw new BulwarkError(
        "BW_CA_PLUGGED_IN",
        "the root's key is not here: whoever made the intermediate revokes it, and plugs another in",
      );
    if (manifest.rotation?.kind === "root")
      throw underWay("the root is being replaced, which ends all trust in its intermediates");
    if (manifest.rotation !== undefined && name === undefined && begun === undefined)
      throw underWay(
        `the intermediate is being replaced (${manifest.rotation.from} by ${manifest.rotation.to}): name the one to revoke`,
      );
  }

  async #begin(intent: Intent): Promise<void> {
    await this.#change(INTENT, () => JSON.stringify(intent));
    try {
      await this.#replaceSigner(intent);
    } catch (error) {
      await this.#change(INTENT, () => "");
      throw error;
    }
    await this.#audit(intent, `intermediate ${intent.authority.subjectKeyId}: is to be revoked`);
  }

  /** @throws as RotationDriver.rotate */
  async #replaceSigner({ authority, by }: Intent): Promise<void> {
    const { ca, rotation } = this.#options;
    if (ca.issuer.keyId === authority.subjectKeyId)
      await rotation.rotate("intermediate", { force: true, by, overlapMs: 0 });
  }

  async #resume(): Promise<void> {
    const intent = await this.#intent();
    if (intent === undefined) this.#isPending = false;
    else await this.#finish(intent);
  }

  /** One at a time: whoever asks again joins. */
  #finish(intent: Intent): Promise<IntermediateReport> {
    this.#running ??= this.#finishOnce(intent).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #finishOnce(intent: Intent): Promise<IntermediateReport> {
    const { authority, reason, by } = intent;
    const { ca, revocations } = this.#options;
    this.#isPending = true;
    await this.#replaceSigner(intent);
    const startedMs = performance.now();
    const late = await this.#renewed();
    const renewalMs = performance.now() - startedMs;
    const { revoked, ...outcome } = await revocations.revoke({ authority }, { reason, by });
    await this.#audit(
      intent,
      `intermediate ${authority.subjectKeyId}: revoked (${reason}); ${ca.issuer.keyId} signs`,
    );
    await this.#change(INTENT, () => "");
    this.#isPending = false;
    return {
      ...outcome,
      keyId: authority.subjectKeyId,
      serial: authority.serial,
      wasRevokedBefore: revoked.length === 0,
      signer: ca.issuer.keyId,
      renewalMs,
      late,
    };
  }

  /** @returns pods whose proxies had not renewed when patience ended. */
  async #renewed(): Promise<readonly string[]> {
    const deadlineMs = performance.now() + (this.#options.patienceMs ?? PATIENCE_MS);
    for (;;) {
      const { rotation, waitingFor } = this.#options.rotation.report();
      const isDone = rotation === null || rotation.phase !== "new-signs" || waitingFor.length === 0;
      if (isDone) return [];
      if (performance.now() >= deadlineMs) return waitingFor.map(({ pod }) => pod);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #authority(name: string | undefined, begun: Intent | undefined): Promise<AuthorityRecord> {
    if (name === undefined && begun !== undefined) return begun.authority;
    const wanted = name?.replaceAll(":", "").toLowerCase() ?? this.#options.ca.issuer.keyId;
    const known =
      parsed<readonly AuthorityRecord[]>((await this.#options.store.read(AUTHORITIES)).text) ?? [];
    const found = known.find(
      ({ subjectKeyId, serial }) => subjectKeyId === wanted || serial === wanted.replace(/^(00)+(?=..)/, ""),
    );
    if (found !== undefined && found.notAfterMs > Date.now()) return found;
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `nothing was revoked: no intermediate of this CA that lives has \`${wanted}\` for its key identifier or serial`,
    );
  }

  async #noteSigner(): Promise<void> {
    const { ca } = this.#options;
    if (this.#noted === ca.issuer.keyId) return;
    const record = authorityRecord(ca);
    if (record !== undefined)
      await this.#change(AUTHORITIES, (text) => {
        const known = parsed<readonly AuthorityRecord[]>(text) ?? [];
        const others = known.filter(
          ({ subjectKeyId, notAfterMs }) => subjectKeyId !== record.subjectKeyId && notAfterMs > Date.now(),
        );
        return JSON.stringify([...others, record].slice(-MAX_AUTHORITIES));
      });
    this.#noted = record?.subjectKeyId ?? ca.issuer.keyId;
  }

  async #intent(): Promise<Intent | undefined> {
    return parsed<Intent>((await this.#options.store.read(INTENT)).text);
  }

  async #change(name: string, next: (text: string) => string): Promise<void> {
    const { store } = this.#options;
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const { version, text } = await store.read(name);
      const wanted = next(text);
      if (wanted === text || (await store.compareAndSet(name, version, wanted))) return;
    }
    throw new BulwarkError(
      "BW_CA_STORE_BUSY",
      "other replicas change what is known of intermediates all the time",
    );
  }

  /** What was revoked is revoked, whether or not that can be written down. */
  async #audit({ authority, by }: Intent, message: string): Promise<void> {
    const { spiffeId, serial } = authority;
    const common = { timeMs: Date.now(), kind: "revoked", caller: by, method: null, code: null } as const;
    await this.#options.store.audit({ ...common, spiffeId, serial, message }).catch(this.#options.onProblem);
  }
}

/** Undefined for a root that signs by itself: no list of another's can name it. */
function authorityRecord({
  issuerCertificate,
  issuer,
  trustDomain,
}: IntermediateRevocationOptions["ca"]): AuthorityRecord | undefined {
  const fields = readCertificate(issuerCertificate);
  const issuerKeyId = readAuthorityKeyId(fields);
  if (issuerKeyId === undefined || issuerKeyId === issuer.keyId) return undefined;
  return {
    serial: fields.serial,
    issuerKeyId,
    subjectKeyId: issuer.keyId,
    spiffeId: trustDomainSpiffeId(trustDomain),
    notAfterMs: fields.notAfter.getTime(),
  };
}

function underWay(why: string): BulwarkError {
  return new BulwarkError("BW_CA_ROTATION_UNDER_WAY", `nothing was revoked: ${why}`);
}

/** @throws {BulwarkError} BW_CA_STORE_DAMAGED */
function parsed<T>(text: string): T | undefined {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new BulwarkError("BW_CA_STORE_DAMAGED", "what is on record of intermediates cannot be read", {
      cause,
    });
  }
}
