import type { PeerCertificate } from "../peer-certificate.ts";
import type { RevocationReason } from "../store/ca-store.ts";

/** A revoked certificate, as far as those need to know who may meet it. */
export interface RevokedCertificate {
  /** Lower-case hexadecimal, as in {@link PeerCertificate}. */
  readonly issuerKeyId: string;
  readonly serial: string;
  /** Milliseconds since the epoch: from then on its dates refuse it. */
  readonly notAfterMs: number;
  readonly reason: RevocationReason;
  /** Of one that signs: what those below it name as their issuer's key. */
  readonly subjectKeyId?: string;
}

/** An identity that was revoked, whatever certificates it had: what was made or proved before `beforeMs` is void. */
export interface RevokedIdentity {
  readonly spiffeId: string;
  /** Milliseconds since the epoch, by the CA's clock. */
  readonly beforeMs: number;
}

/** What tells one certificate from all others. */
export type CertificateName = Pick<PeerCertificate, "serial" | "authorityKeyId">;

/** About 40 MB at most. Far above what a mesh with short-lived certificates comes to: they leave the set at their end. */
export const MAX_REVOKED = 200_000;

/** Clocks differ: an entry stays a little longer than its certificate. */
const KEEP_AFTER_END_MS = 5 * 60_000;

/**
 * The revoked certificates that have not ended, for one look-up in each handshake. Bounded: where it is full, those that end first make room, and
 * every certificate that ends no later than they do is refused instead, so that none of them gets past it.
 */
export class RevokedSet {
  /** By serial: nearly always one issuer each. */
  readonly #bySerial = new Map<string, RevokedCertificate[]>();
  readonly #maxEntries: number;
  #size = 0;
  #refuseUpToMs = 0;

  constructor(maxEntries: number = MAX_REVOKED) {
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns those that were not known. */
  add(revoked: readonly RevokedCertificate[], nowMs: number): readonly RevokedCertificate[] {
    const added = revoked.filter((one) => this.#insert(one));
    if (this.#size > this.#maxEntries) this.prune(nowMs);
    if (this.#size > this.#maxEntries) this.#makeRoom();
    return added;
  }

  /**
   * Why a certificate counts as revoked; undefined where it does not. One that does not name its issuer's key is refused when any issuer revoked
   * its serial.
   */
  reasonFor({ serial, authorityKeyId }: CertificateName, notAfterMs: number): RevocationReason | undefined {
    if (notAfterMs <= this.#refuseUpToMs) return "unspecified";
    const entries = this.#bySerial.get(serial);
    if (entries === undefined) return undefined;
    return entries.find(({ issuerKeyId }) => authorityKeyId === undefined || issuerKeyId === authorityKeyId)
      ?.reason;
  }

  /** Lets go of certificates that have ended. */
  prune(nowMs: number): void {
    for (const [serial, entries] of this.#bySerial) {
      const kept = entries.filter(({ notAfterMs }) => notAfterMs + KEEP_AFTER_END_MS > nowMs);
      if (kept.length === entries.length) continue;
      this.#size -= entries.length - kept.length;
      if (kept.length === 0) this.#bySerial.delete(serial);
      else this.#bySerial.set(serial, kept);
    }
  }

  #insert(one: RevokedCertificate): boolean {
    const entries = this.#bySerial.get(one.serial);
    if (entries?.some(({ issuerKeyId }) => issuerKeyId === one.issuerKeyId) === true) return false;
    if (entries === undefined) this.#bySerial.set(one.serial, [one]);
    else entries.push(one);
    this.#size += 1;
    return true;
  }

  /** A tenth at once: sorting for each entry that comes would be quadratic. */
  #makeRoom(): void {
    const ends = [...this.#bySerial.values()]
      .flat()
      .map(({ notAfterMs }) => notAfterMs)
      .sort((a, b) => a - b);
    const leaving = this.#size - Math.floor(this.#maxEntries * 0.9);
    this.#refuseUpToMs = Math.max(this.#refuseUpToMs, ends[leaving - 1] ?? 0);
    this.prune(this.#refuseUpToMs + KEEP_AFTER_END_MS);
  }
}
