import { hash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseSpiffeId, type SpiffeId, type TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type CaState, type CaStateOptions, JOURNAL, loadCaState, openIssuer, RECORDS } from "./ca-state.ts";
import { verifyCsr } from "./csr.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "./key-algorithm.ts";
import { ensurePrivateFolder } from "./key-store.ts";
import type { CaKeyStore } from "./keys/ca-key-store.ts";
import { FileKeyStore } from "./keys/file-key-store.ts";
import { encodePem } from "./pem.ts";
import type { CaMaterial } from "./plug-in/ca-material.ts";
import { pluggedInState } from "./plug-in/plugged-in-state.ts";
import { type PointerUrls, pointersOf } from "./pointer-urls.ts";
import { pooledRandomBytes } from "./random-pool.ts";
import type { RevocationPointers } from "./revocation-pointers.ts";
import { isKeyId } from "./rotation/rotation.ts";
import type { RotationStep } from "./rotation/rotation-steps.ts";
import { issueCertificate } from "./sign.ts";
import { bindStore } from "./store/bind-store.ts";
import type { CaStore, IssuanceProof, IssuedCertificateRecord } from "./store/ca-store.ts";
import { keepPruned } from "./store/retention.ts";
import { SqliteCaStore } from "./store/sqlite-ca-store.ts";
import { takeOverJournal } from "./store/take-over-journal.ts";
import { type CertificateTemplate, serialFrom, validityFrom, workloadTemplate } from "./template.ts";
import { TLS_PROFILE } from "./tls-profile.ts";
import { Turns } from "./turns.ts";
import { verifyIssued } from "./verify-issued.ts";

const DAY_SECONDS = 86_400;
/** Below this a certificate could end in the second in which it starts (X.509 counts whole seconds). */
export const MIN_TTL_SECONDS = 2;

const SERIAL_DRAWS = 4;

/** Longest lifetime that a request may ask for by default, as in Istio. */
export const MAX_TTL_SECONDS = 90 * DAY_SECONDS;

export interface CaOptions {
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly random?: (bytes: number) => Buffer;
  /** Lifetime of a certificate whose request asks for 0; default 24 h, or the maximum where that is less. */
  readonly defaultTtlSeconds?: number;
  /** Longest lifetime that a request may ask for; default {@link MAX_TTL_SECONDS}. */
  readonly maxTtlSeconds?: number;
  readonly rootTtlSeconds?: number;
  readonly intermediateTtlSeconds?: number;
  /** Kind of the CA's own keys, when they are made; default ECDSA P-256. */
  readonly keyAlgorithm?: KeyAlgorithmName;
  /** Where the CA's own keys are kept; default: files, mode 0600, beside the certificates. */
  readonly keys?: CaKeyStore;
  /** A CA from outside: no keys are made then, and its own rotation does not touch these. */
  readonly pluggedIn?: { readonly material: CaMaterial; readonly passphrase?: string };
  /** Kinds of keys to sign for; default: those of the TLS profile. */
  readonly leafAlgorithms?: readonly KeyAlgorithmName[];
  /** Where certificates say that their state can be asked for; default: they say nothing. */
  readonly pointerUrls?: PointerUrls;
  /** Where records are kept, opened; the CA closes it. Default: a file beside the keys. */
  readonly store?: CaStore;
}

export interface IssueRequest {
  /** PKCS#10 in DER. */
  readonly csr: Buffer;
  /** Who the caller is, as the CA authenticated it. What the request says of itself is not read. */
  readonly verifiedIdentity: SpiffeId;
  /** 0 asks for the default. */
  readonly ttlSeconds: number;
  /** How the caller proved who it is, for the record (IssuedCertificateRecord); default `token`. */
  readonly method?: string;
  /** When what it proved it with was issued, milliseconds since the epoch: nothing is issued when the identity was revoked since. Default: now. */
  readonly proofIssuedAtMs?: number;
}

export interface IssuedCertificate {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly spiffeId: SpiffeId;
  readonly certificate: Buffer;
  /** The leaf, then the intermediate: what a TLS peer has to send. */
  readonly chainPem: string;
  /** Every root to trust. */
  readonly trustBundlePem: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * The mesh's certificate authority: template → sign → read back and verify → record → return. A certificate is
 * handed out only when its record is on the disk.
 */
export class CertificateAuthority {
  readonly trustDomain: TrustDomain;
  /** What was issued and revoked, and what replicas of this CA share. */
  readonly store: CaStore;
  #state: CaState;
  readonly #options: Required<
    Pick<CaOptions, "clock" | "random" | "defaultTtlSeconds" | "maxTtlSeconds" | "leafAlgorithms">
  >;
  readonly #stateOptions: () => CaStateOptions;
  readonly #pointerUrls: PointerUrls;
  readonly #pointers = new WeakMap<CaState["signer"], RevocationPointers>();
  readonly #turns = new Turns();
  /** Steps of a rotation, one after the other. */
  #stepping: Promise<unknown> = Promise.resolve();
  readonly #stopPruning: () => void;

  constructor(state: CaState, store: CaStore, options: CaOptions) {
    this.trustDomain = state.trustDomain;
    this.#state = state;
    this.store = store;
    this.#stateOptions = () => stateOptionsOf(options);
    this.#pointerUrls = options.pointerUrls ?? {};
    const maxTtlSeconds = options.maxTtlSeconds ?? MAX_TTL_SECONDS;
    this.#options = {
      clock: options.clock ?? Date.now,
      random: options.random ?? pooledRandomBytes,
      defaultTtlSeconds: options.defaultTtlSeconds ?? Math.min(DAY_SECONDS, maxTtlSeconds),
      maxTtlSeconds,
      leafAlgorithms: options.leafAlgorithms ?? TLS_PROFILE.keyAlgorithms,
    };
    this.#stopPruning = keepPruned(store, this.#options.clock);
  }

  /** Root certificates that proxies must trust, in DER; more than one while roots are being replaced. */
  get trustBundle(): readonly Buffer[] {
    return this.#state.roots.map((root) => root.certificate);
  }

  /** What is being replaced, and what was last; undefined where the CA is plugged in from outside. */
  get manifest(): CaState["manifest"] {
    return this.#state.manifest;
  }

  get trustBundlePem(): string {
    return pemOf(this.trustBundle);
  }

  /** Lifetime of a certificate whose request asks for none. */
  get defaultTtlSeconds(): number {
    return this.#options.defaultTtlSeconds;
  }

  /** The intermediate that signs now, in DER. */
  get issuerCertificate(): Buffer {
    return this.#state.signer.certificate;
  }

  /** The intermediate that signs now, with its key: for what is signed about certificates (CRLs, OCSP answers). */
  get signer(): CaState["signer"] {
    return this.#state.signer;
  }

  /** From that intermediate up to, not including, a root: what is sent after whatever it signed. */
  get chain(): readonly Buffer[] {
    return this.#state.chain;
  }

  /**
   * An intermediate of this CA, of now or of before, with its key; undefined where the key is gone, or it was never this CA's.
   * @param keyId lower-case hexadecimal.
   */
  async signerOf(keyId: string): Promise<CaState["signer"] | undefined> {
    if (keyId === this.issuer.keyId) return this.#state.signer;
    if (!isKeyId(keyId)) return undefined;
    const { folder } = this.#state;
    const keys = this.#stateOptions().keys ?? new FileKeyStore(folder);
    return openIssuer(folder, keys, "intermediate", keyId).catch((error: unknown) => {
      if (error instanceof BulwarkError) return undefined;
      throw error;
    });
  }

  /** Every intermediate whose certificates may still live and whose key is here, the one that signs now first. */
  async signers(): Promise<readonly CaState["signer"][]> {
    const { folder, signer } = this.#state;
    const names = await readdir(folder).catch(() => []);
    const keyIds = names.flatMap((name) => /^intermediate-([0-9a-f]{40})\.crt\.pem$/.exec(name)?.[1] ?? []);
    const others = keyIds.filter((keyId) => keyId !== signer.subjectKeyId.toString("hex"));
    const found = await Promise.all(others.map((keyId) => this.signerOf(keyId)));
    return [signer, ...found.filter((one) => one !== undefined)];
  }

  /** Roots in force whose keys are here, the one that signs intermediates first; none where the CA is plugged in, or their keys are kept elsewhere. */
  async rootSigners(): Promise<readonly CaState["signer"][]> {
    const { folder, manifest } = this.#state;
    if (manifest === undefined) return [];
    const keys = this.#stateOptions().keys ?? new FileKeyStore(folder);
    const { signingRoot, roots } = manifest;
    const ids = [signingRoot, ...roots.filter((id) => id !== signingRoot)];
    const found: CaState["signer"][] = [];
    for (const id of ids) {
      // Not in its place is no damage: a root's key may be kept elsewhere between its uses.
      if ((await keys.open("root", id)) !== undefined) found.push(await openIssuer(folder, keys, "root", id));
    }
    return found;
  }

  /** Key identifier of the intermediate that signs now, lower-case hexadecimal, and its life. */
  get issuer(): { readonly keyId: string; readonly notBefore: Date; readonly notAfter: Date } {
    const { subjectKeyId, notBefore, notAfter } = this.#state.signer;
    return { keyId: subjectKeyId.toString("hex"), notBefore, notAfter };
  }

  /**
   * Takes the CA's keys a step further; certificates are signed by what the step put into force from when this settles.
   * @throws {BulwarkError} those of the step, and nothing has changed then.
   */
  rotate(step: RotationStep): Promise<void> {
    const stepped = this.#stepping.then(async () => {
      this.#state = await step(this.#state, this.#stateOptions());
    });
    this.#stepping = stepped.catch(() => {});
    return stepped;
  }

  /**
   * Signs a workload's certificate.
   * @throws {BulwarkError} BW_CA_FOREIGN_IDENTITY, BW_CA_TTL_INVALID, BW_CA_TTL_TOO_LONG, BW_CA_SIGNER_EXPIRED,
   * BW_CA_ISSUED_MISMATCH, BW_CA_STORE_…, BW_CA_BUSY, BW_CA_CSR_KEY_KIND, BW_KEY_…, BW_PKCS11_…, and those of `verifyCsr`.
   */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    this.#checkIdentity(request.verifiedIdentity);
    const ttlSeconds = this.#ttlSeconds(request.ttlSeconds);
    await this.#turns.take();
    const { spki, algorithm } = verifyCsr(request.csr);
    this.#checkAlgorithm(algorithm.name);
    // One state for all of it: a rotation may put another into force meanwhile.
    const { signer, chain } = this.#state;
    const nowMs = this.#options.clock();
    const revocationPointers = this.#pointersOf(signer);
    const common = { identity: request.verifiedIdentity, spki, issuer: signer, revocationPointers };
    const validity = validityFrom(nowMs, ttlSeconds, signer);
    const { template, certificate } = await this.#recorded(async () => {
      const serial = serialFrom(this.#options.random(16));
      const template = workloadTemplate({ ...common, validity, serial });
      const certificate = await issueCertificate(template, signer.key);
      verifyIssued(certificate, template, signer);
      await this.store.recordIssued(recordOf(template, request, nowMs, signer), proofOf(request));
      return { template, certificate };
    });
    return {
      serial: template.serial.toString("hex"),
      spiffeId: request.verifiedIdentity,
      certificate,
      chainPem: encodePem("CERTIFICATE", certificate) + pemOf(chain),
      trustBundlePem: this.trustBundlePem,
      notBefore: template.notBefore,
      notAfter: template.notAfter,
    };
  }

  /** One object for each signer: see CertificateTemplate. */
  #pointersOf(signer: CaState["signer"]): RevocationPointers | undefined {
    const known = this.#pointers.get(signer);
    if (known !== undefined) return known;
    const made = pointersOf(this.#pointerUrls, signer.subjectKeyId.toString("hex"));
    if (made !== undefined) this.#pointers.set(signer, made);
    return made;
  }

  /** Signs and records; with another serial where that one is on record, a few times: a source of randomness that repeats itself must not go on for ever. */
  async #recorded<T>(attempt: () => Promise<T>): Promise<T> {
    for (let left = SERIAL_DRAWS - 1; ; left--) {
      try {
        return await attempt();
      } catch (error) {
        const isTaken = error instanceof BulwarkError && error.code === "BW_CA_STORE_SERIAL_TAKEN";
        if (!isTaken || left === 0) throw error;
      }
    }
  }

  /** Waits for records under way, then closes the store; `issue` refuses from then on. */
  close(): Promise<void> {
    this.#stopPruning();
    return this.store.close();
  }

  #checkAlgorithm(name: KeyAlgorithmName): void {
    if (this.#options.leafAlgorithms.includes(name)) return;
    const allowed = this.#options.leafAlgorithms.join(", ");
    throw new BulwarkError("BW_CA_CSR_KEY_KIND", `the CA signs for keys of ${allowed} only, not of ${name}`);
  }

  #checkIdentity(identity: SpiffeId): void {
    const parsed = parseSpiffeId(identity);
    if (parsed !== undefined && parsed.path !== "" && parsed.trustDomain === this.trustDomain) return;
    throw new BulwarkError(
      "BW_CA_FOREIGN_IDENTITY",
      `the CA of ${this.trustDomain} signs only for its own workloads`,
      {
        detail: { identity, trustDomain: this.trustDomain },
      },
    );
  }

  /** Above the maximum is an error, not a clamp: a caller that got less than it asked for would find out by an outage. */
  #ttlSeconds(asked: number): number {
    const ttlSeconds = asked === 0 ? this.#options.defaultTtlSeconds : asked;
    const { maxTtlSeconds } = this.#options;
    if (!(ttlSeconds >= MIN_TTL_SECONDS)) {
      const message = `a certificate lives at least ${MIN_TTL_SECONDS} s (0 asks for the default)`;
      throw new BulwarkError("BW_CA_TTL_INVALID", message, { detail: { ttlSeconds } });
    }
    if (ttlSeconds <= maxTtlSeconds) return ttlSeconds;
    const message = `a certificate of ${ttlSeconds} s is asked for, above the maximum of ${maxTtlSeconds} s`;
    throw new BulwarkError("BW_CA_TTL_TOO_LONG", message, { detail: { ttlSeconds, maxTtlSeconds } });
  }
}

function recordOf(
  template: CertificateTemplate,
  request: IssueRequest,
  nowMs: number,
  signer: CaState["signer"],
): IssuedCertificateRecord {
  return {
    serial: template.serial.toString("hex"),
    issuerKeyId: signer.subjectKeyId.toString("hex"),
    spiffeId: request.verifiedIdentity,
    notBeforeMs: template.notBefore.getTime(),
    notAfterMs: template.notAfter.getTime(),
    keyHash: hash("sha256", template.spki, "hex"),
    issuedAtMs: nowMs,
    method: request.method ?? "token",
  };
}

function proofOf({ proofIssuedAtMs }: IssueRequest): IssuanceProof | undefined {
  return proofIssuedAtMs === undefined ? undefined : { issuedAtMs: proofIssuedAtMs };
}

/**
 * Opens the CA kept under `stateDir` (in its folder `ca`, mode 0700), making it on the first run.
 * @throws {BulwarkError} BW_CA_TRUST_DOMAIN_CHANGED, BW_CA_STATE_DAMAGED, BW_CA_PLUG_IN_REFUSED, BW_CA_STORE_…, BW_KEYSTORE_….
 */
export async function openCa(stateDir: string, options: CaOptions): Promise<CertificateAuthority> {
  const folder = join(stateDir, "ca");
  const state = await stateIn(folder, options).catch(async (error: unknown) => {
    await options.store?.close();
    throw error;
  });
  const store = options.store ?? (await SqliteCaStore.open(join(folder, RECORDS)));
  try {
    await bindStore(folder, store, options.trustDomain);
    await takeOverJournal(join(folder, JOURNAL), folder, store);
  } catch (error) {
    await store.close();
    throw error;
  }
  return new CertificateAuthority(state, store, options);
}

function stateIn(folder: string, options: CaOptions): Promise<CaState> {
  const { pluggedIn, trustDomain } = options;
  const common = stateOptionsOf(options);
  if (pluggedIn === undefined) return loadCaState(folder, common);
  ensurePrivateFolder(folder);
  const { material, ...passphrase } = pluggedIn;
  return pluggedInState(material, { folder, trustDomain, nowMs: common.nowMs, ...passphrase });
}

function stateOptionsOf(options: CaOptions): CaStateOptions {
  return {
    trustDomain: options.trustDomain,
    algorithm: KEY_ALGORITHMS[options.keyAlgorithm ?? "ecdsa-p256"],
    rootTtlSeconds: options.rootTtlSeconds ?? 3650 * DAY_SECONDS,
    intermediateTtlSeconds: options.intermediateTtlSeconds ?? 365 * DAY_SECONDS,
    nowMs: (options.clock ?? Date.now)(),
    ...(options.pointerUrls && { pointerUrls: options.pointerUrls }),
    ...(options.keys && { keys: options.keys }),
  };
}

/** The CA's own certificates go out with every leaf; each takes 5 µs to encode. */
const PEM_TEXTS = new WeakMap<Buffer, string>();

function pemOf(authorities: readonly Buffer[]): string {
  return authorities
    .map((certificate) => {
      const text = PEM_TEXTS.get(certificate) ?? encodePem("CERTIFICATE", certificate);
      PEM_TEXTS.set(certificate, text);
      return text;
    })
    .join("");
}
