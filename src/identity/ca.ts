import { hash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { parseSpiffeId, type SpiffeId, type TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type CaState, JOURNAL, loadCaState } from "./ca-state.ts";
import { verifyCsr } from "./csr.ts";
import { IssuedJournal, type IssuedRecord } from "./issued-journal.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "./key-algorithm.ts";
import { encodePem } from "./pem.ts";
import { issueCertificate } from "./sign.ts";
import { type CertificateTemplate, serialFrom, validityFrom, workloadTemplate } from "./template.ts";
import { verifyIssued } from "./verify-issued.ts";

const DAY_SECONDS = 86_400;
/** Below this a certificate could end in the second in which it starts (X.509 counts whole seconds). */
const MIN_TTL_SECONDS = 2;

/** Longest lifetime that a request may ask for by default, as in Istio. */
export const MAX_TTL_SECONDS = 90 * DAY_SECONDS;

export interface CaOptions {
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly random?: (bytes: number) => Buffer;
  /** Lifetime of a certificate whose request asks for 0; default 24 h. */
  readonly defaultTtlSeconds?: number;
  /** Longest lifetime that a request may ask for; default {@link MAX_TTL_SECONDS}. */
  readonly maxTtlSeconds?: number;
  readonly rootTtlSeconds?: number;
  readonly intermediateTtlSeconds?: number;
  /** Kind of the CA's own keys, when they are made; default ECDSA P-256. */
  readonly keyAlgorithm?: KeyAlgorithmName;
}

export interface IssueRequest {
  /** PKCS#10 in DER. */
  readonly csr: Buffer;
  /** Who the caller is, as the CA authenticated it. What the request says of itself is not read. */
  readonly verifiedIdentity: SpiffeId;
  /** 0 asks for the default. */
  readonly ttlSeconds: number;
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
  readonly #state: CaState;
  readonly #journal: IssuedJournal;
  readonly #options: Required<Pick<CaOptions, "clock" | "random" | "defaultTtlSeconds" | "maxTtlSeconds">>;
  readonly #issuerPem: string;

  constructor(state: CaState, journal: IssuedJournal, options: CaOptions) {
    this.trustDomain = state.trustDomain;
    this.#state = state;
    this.#journal = journal;
    this.#issuerPem = encodePem("CERTIFICATE", state.signer.certificate);
    this.#options = {
      clock: options.clock ?? Date.now,
      random: options.random ?? randomBytes,
      defaultTtlSeconds: options.defaultTtlSeconds ?? DAY_SECONDS,
      maxTtlSeconds: options.maxTtlSeconds ?? MAX_TTL_SECONDS,
    };
  }

  /** Root certificates that proxies must trust, in DER; more than one while roots are being replaced. */
  get trustBundle(): readonly Buffer[] {
    return this.#state.roots.map((root) => root.certificate);
  }

  get trustBundlePem(): string {
    return this.trustBundle.map((certificate) => encodePem("CERTIFICATE", certificate)).join("");
  }

  /** The intermediate that signs now, in DER. */
  get issuerCertificate(): Buffer {
    return this.#state.signer.certificate;
  }

  /**
   * Signs a workload's certificate.
   * @throws {BulwarkError} BW_CA_FOREIGN_IDENTITY, BW_CA_TTL_INVALID, BW_CA_TTL_TOO_LONG, BW_CA_SIGNER_EXPIRED,
   * BW_CA_ISSUED_MISMATCH, BW_CA_JOURNAL_WRITE, and those of `verifyCsr`.
   */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    this.#checkIdentity(request.verifiedIdentity);
    const ttlSeconds = this.#ttlSeconds(request.ttlSeconds);
    const { spki } = verifyCsr(request.csr);
    const { signer } = this.#state;
    const nowMs = this.#options.clock();
    const template = workloadTemplate({
      identity: request.verifiedIdentity,
      spki,
      validity: validityFrom(nowMs, ttlSeconds, signer),
      serial: serialFrom(this.#options.random(16)),
      issuer: signer,
    });
    const certificate = await issueCertificate(template, signer.key);
    verifyIssued(certificate, template, signer);
    await this.#journal.append(this.#record(template, request.verifiedIdentity, nowMs));
    return {
      serial: template.serial.toString("hex"),
      spiffeId: request.verifiedIdentity,
      certificate,
      chainPem: encodePem("CERTIFICATE", certificate) + this.#issuerPem,
      trustBundlePem: this.trustBundlePem,
      notBefore: template.notBefore,
      notAfter: template.notAfter,
    };
  }

  /** Every certificate on record, oldest first. */
  issued(): AsyncGenerator<IssuedRecord> {
    return this.#journal.records();
  }

  /** Waits for records under way, then lets go of the journal; `issue` refuses from then on. */
  close(): Promise<void> {
    return this.#journal.close();
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

  #record(template: CertificateTemplate, identity: SpiffeId, nowMs: number): IssuedRecord {
    return {
      serial: template.serial.toString("hex"),
      spiffeId: identity,
      notBefore: template.notBefore.toISOString(),
      notAfter: template.notAfter.toISOString(),
      keyHash: hash("sha256", template.spki, "hex"),
      issuerSerial: this.#state.signer.x509.serialNumber.toLowerCase(),
      time: new Date(nowMs).toISOString(),
    };
  }
}

/**
 * Opens the CA kept under `stateDir` (in its folder `ca`, mode 0700), making it on the first run.
 * @throws {BulwarkError} BW_CA_TRUST_DOMAIN_CHANGED, BW_CA_STATE_DAMAGED, BW_CA_JOURNAL_OPEN, BW_KEYSTORE_….
 */
export async function openCa(stateDir: string, options: CaOptions): Promise<CertificateAuthority> {
  const folder = join(stateDir, "ca");
  const state = await loadCaState(folder, {
    trustDomain: options.trustDomain,
    algorithm: KEY_ALGORITHMS[options.keyAlgorithm ?? "ecdsa-p256"],
    rootTtlSeconds: options.rootTtlSeconds ?? 3650 * DAY_SECONDS,
    intermediateTtlSeconds: options.intermediateTtlSeconds ?? 365 * DAY_SECONDS,
    nowMs: (options.clock ?? Date.now)(),
  });
  return new CertificateAuthority(state, await IssuedJournal.open(join(folder, JOURNAL)), options);
}
