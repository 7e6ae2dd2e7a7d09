import type { KeyObject } from "node:crypto";
import { EventEmitter } from "node:events";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { Alarm, SYSTEM_TIMERS, type Timers } from "./alarm.ts";
import { encodeCsr } from "./csr.ts";
import { KEY_ALGORITHMS, type KeyAlgorithmName } from "./key-algorithm.ts";
import { peerFromCertificateDer } from "./peer-certificate.ts";
import { decodePem } from "./pem.ts";
import { type CertificateGrant, verifyGrant } from "./verify-grant.ts";

/** A workload's certificate with its key. The key is an opaque handle: logging this prints nothing of it. */
export interface Svid {
  readonly identity: SpiffeId;
  readonly privateKey: KeyObject;
  /** The leaf, then the intermediates. */
  readonly chainPem: string;
  readonly trustBundlePem: string;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Who signs, and whom to trust, from now on. */
export interface TrustToFollow {
  /** Key identifier of the intermediate, lower-case hexadecimal. */
  readonly issuerKeyId: string;
  readonly trustBundlePem: string;
}

/** Carries a PKCS#10 request (DER) to the CA, with whatever proves who asks. */
export type RequestCertificate = (csr: Buffer, signal: AbortSignal) => Promise<CertificateGrant>;

export interface SvidSourceOptions {
  readonly identity: SpiffeId;
  readonly requestCertificate: RequestCertificate;
  readonly keyAlgorithm?: KeyAlgorithmName;
  /** A request that takes longer counts as failed; default 10 s. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly timers?: Timers;
  /** From 0 up to, not including, 1. */
  readonly random?: () => number;
}

export interface SvidSourceEvents {
  /** A new certificate, trust bundle, or both are in force. */
  rotated: [svid: Svid];
  /** An attempt failed; another follows by itself. The certificate in force, if any, stays. */
  failed: [error: BulwarkError, retryInMs: number];
  /** The certificate ended with no successor: `current` is undefined, and callers must refuse. */
  expired: [];
  /** The certificate must not be used any more (see `discard`): `current` is undefined until the next one. */
  discarded: [serial: string];
}

const MIN_RETRY_MS = 200;
const MAX_RETRY_MS = 30_000;
/** Renewals fall in 45–55 % of the lifetime, so that replicas started together spread out. */
const RENEWAL_JITTER = 0.1;

/**
 * A workload's own source of certificates: makes each key itself, renews at half of the lifetime, keeps the old
 * until its end when the CA does not answer. Lives in the process that uses the key, which never leaves it.
 * Throws into nobody's face: failures are events, and there is no `error` event.
 */
export class SvidSource extends EventEmitter<SvidSourceEvents> {
  readonly #options: Required<SvidSourceOptions>;
  readonly #renewal: Alarm;
  readonly #expiry: Alarm;
  readonly #stopping = new AbortController();
  #svid: Svid | undefined;
  #running: Promise<boolean> | undefined;
  #askAgain = false;
  #failures = 0;

  constructor(options: SvidSourceOptions) {
    super();
    this.#options = {
      keyAlgorithm: "ecdsa-p256",
      requestTimeoutMs: 10_000,
      clock: Date.now,
      timers: SYSTEM_TIMERS,
      random: Math.random,
      ...options,
    };
    this.#renewal = new Alarm(this.#options.clock, this.#options.timers);
    this.#expiry = new Alarm(this.#options.clock, this.#options.timers);
  }

  /** The certificate in force; undefined before the first, and from the moment it expires: then refuse. */
  get current(): Svid | undefined {
    return this.#svid !== undefined && this.#options.clock() < this.#svid.notAfter.getTime()
      ? this.#svid
      : undefined;
  }

  /**
   * Starts, and keeps going until `stop`.
   * @returns whether the first attempt gave a certificate; when not, attempts go on (wait for `rotated`).
   */
  start(): Promise<boolean> {
    return this.requestNow();
  }

  /**
   * Renews at once, as when the trust bundle or the identity's standing has changed. A request that is under way
   * may have been answered before the change, so another follows it.
   * @returns whether the last attempt gave a certificate. Never rejects.
   */
  requestNow(): Promise<boolean> {
    if (this.#stopping.signal.aborted) return Promise.resolve(false);
    if (this.#running === undefined) this.#running = this.#run();
    else this.#askAgain = true;
    return this.#running;
  }

  /**
   * Lets go of a certificate that was revoked, and asks for another at once.
   * @returns whether it was the one in force.
   */
  discard(serial: string): boolean {
    if (this.#svid?.serial !== serial) return false;
    this.#svid = undefined;
    this.#expiry.clear();
    this.#tell("discarded", serial);
    void this.requestNow();
    return true;
  }

  /**
   * Follows the CA to another signer or other roots: gets a certificate of this signer, unless the one in force is, and trusts
   * this bundle, from when it settles. What was asked for before cannot undo it.
   * @throws {BulwarkError} BW_SVID_NOT_RENEWED: no certificate of this signer is to be had now; BW_SVID_GRANT_REFUSED: the own
   *   certificate does not end in the bundle. What was in force before still is.
   */
  async follow({ issuerKeyId, trustBundlePem }: TrustToFollow): Promise<void> {
    await this.#running;
    if (issuerKeyIdOf(this.current) !== issuerKeyId) await this.requestNow();
    const svid = this.current;
    if (svid === undefined || issuerKeyIdOf(svid) !== issuerKeyId)
      throw new BulwarkError("BW_SVID_NOT_RENEWED", "no certificate of the new signer could be had");
    if (svid.trustBundlePem === trustBundlePem) return;
    const { identity, chainPem, privateKey } = svid;
    verifyGrant({ chainPem, trustBundlePem }, { identity, privateKey, nowMs: this.#options.clock() });
    this.#svid = { ...svid, trustBundlePem };
    this.#tell("rotated", this.#svid);
  }

  /** Ends timers and the request under way. `current` keeps answering until the certificate ends. */
  stop(): void {
    this.#stopping.abort();
    this.#renewal.clear();
    this.#expiry.clear();
  }

  async #run(): Promise<boolean> {
    let granted: boolean;
    do {
      this.#askAgain = false;
      granted = await this.#attempt();
    } while (this.#askAgain && !this.#stopping.signal.aborted);
    this.#running = undefined;
    return granted;
  }

  async #attempt(): Promise<boolean> {
    this.#renewal.clear();
    try {
      const svid = await this.#request();
      if (this.#stopping.signal.aborted) return false;
      this.#adopt(svid);
      return true;
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#retry(error);
      return false;
    }
  }

  /** A new key for each certificate: one that leaked is of use only until the next renewal. */
  async #request(): Promise<Svid> {
    const { identity, keyAlgorithm, clock } = this.#options;
    const { privateKey } = await KEY_ALGORITHMS[keyAlgorithm].generate();
    this.#stopping.signal.throwIfAborted();
    const grant = await this.#ask(encodeCsr(privateKey));
    const { serial, notBefore, notAfter } = verifyGrant(grant, { identity, privateKey, nowMs: clock() });
    const { chainPem, trustBundlePem } = grant;
    return { identity, privateKey, chainPem, trustBundlePem, serial, notBefore, notAfter };
  }

  /** Settles in time even if the transport never does; an answer that comes after that is dropped. */
  async #ask(csr: Buffer): Promise<CertificateGrant> {
    const { requestCertificate, requestTimeoutMs, timers } = this.#options;
    const overdue = new AbortController();
    const { promise, reject } = Promise.withResolvers<never>();
    const handle = timers.setTimeout(() => overdue.abort(), requestTimeoutMs);
    const signal = AbortSignal.any([overdue.signal, this.#stopping.signal]);
    const onAbort = () =>
      reject(new BulwarkError("BW_SVID_REQUEST_TIMEOUT", "the CA did not answer in time"));
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([requestCertificate(csr, signal), promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      timers.clearTimeout(handle);
    }
  }

  #adopt(svid: Svid): void {
    const { clock, random } = this.#options;
    this.#svid = svid;
    this.#failures = 0;
    const now = clock();
    const end = svid.notAfter.getTime();
    // Half of what is left, not of the printed lifetime: backdating is not time in which it can be used.
    const fraction = 0.5 + (random() - 0.5) * RENEWAL_JITTER;
    this.#renewal.set(now + (end - now) * fraction, () => void this.requestNow());
    this.#expiry.set(end, () => this.#tell("expired"));
    this.#tell("rotated", svid);
  }

  #retry(cause: unknown): void {
    const { clock, random } = this.#options;
    const now = clock();
    const leftMs = (this.#svid?.notAfter.getTime() ?? now) - now;
    // While a certificate is in force, several attempts must fit in what is left of it.
    const ceiling =
      leftMs > 0 ? Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, leftMs / 4)) : MAX_RETRY_MS / 6;
    const delayMs =
      Math.min(ceiling, MIN_RETRY_MS * 2 ** Math.min(this.#failures, 20)) * (0.5 + random() / 2);
    this.#failures += 1;
    this.#renewal.set(now + delayMs, () => void this.requestNow());
    this.#tell("failed", asBulwarkError(cause), delayMs);
  }

  /** A listener that throws must not stop the renewals, nor the process; it is told as a failure, once. */
  #tell<E extends keyof SvidSourceEvents>(event: E, ...args: SvidSourceEvents[E]): void {
    try {
      (this as EventEmitter).emit(event, ...args);
    } catch (cause) {
      const error = new BulwarkError("BW_SVID_LISTENER", `a listener of "${event}" threw`, { cause });
      if (event !== "failed") this.#tell("failed", error, 0);
    }
  }
}

/** What `tls.createSecureContext` and `tls.connect` take. The key is in the clear here: pass it on, do not keep it. */
export function tlsCredentials(svid: Svid): { key: string; cert: string; ca: string } {
  const key = svid.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { key, cert: svid.chainPem, ca: svid.trustBundlePem };
}

/** Key identifier of who signed a certificate, lower-case hexadecimal. */
export function issuerKeyIdOf(svid: Pick<Svid, "chainPem"> | undefined): string | undefined {
  const leaf = svid && decodePem("CERTIFICATE", svid.chainPem)[0];
  const read = leaf && peerFromCertificateDer(leaf);
  return read === undefined || "error" in read ? undefined : read.authorityKeyId;
}

function asBulwarkError(cause: unknown): BulwarkError {
  if (cause instanceof BulwarkError) return cause;
  return new BulwarkError("BW_SVID_REQUEST_FAILED", "the certificate request failed", { cause });
}
