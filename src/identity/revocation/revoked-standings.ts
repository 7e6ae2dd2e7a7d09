import type { PeerCertificate } from "../peer-certificate.ts";
import { MAX_BACKDATE_SECONDS } from "../template.ts";
import type { RevokedCertificate, RevokedIdentity } from "./revoked-set.ts";

/** What a certificate stands on besides its serial, as far as it was not known to be revoked. */
export interface StandingNews {
  readonly identities: ReadonlyMap<string, number>;
  readonly keys: ReadonlySet<string>;
  /** Key identifiers of authorities. */
  readonly issuers: ReadonlySet<string>;
}

export interface Standings {
  readonly revoked: readonly RevokedCertificate[];
  readonly identities?: readonly RevokedIdentity[];
  readonly keys?: readonly string[];
}

/** About 2 MB. The oldest make room: what lives of their certificates is known by serial as well. */
const MAX_KEYS = 10_000;
/** `notBefore` is backdated, and the clocks of a CA's replicas differ. */
const ISSUED_AFTER_NOT_BEFORE_MS = (MAX_BACKDATE_SECONDS + 10) * 1000;

/** Keys, identities and authorities that were revoked: what refuses certificates that no list of serials names. */
export class RevokedStandings {
  readonly #identities = new Map<string, number>();
  readonly #keys = new Set<string>();
  readonly #issuers = new Set<string>();

  /** @returns what was not known. */
  add({ revoked, identities = [], keys = [] }: Standings): StandingNews {
    const later = identities.filter(
      ({ spiffeId, beforeMs }) => beforeMs > (this.#identities.get(spiffeId) ?? 0),
    );
    for (const { spiffeId, beforeMs } of later) this.#identities.set(spiffeId, beforeMs);
    const doubted = new Set(keys.filter((key) => !this.#keys.has(key)));
    for (const key of doubted) this.#keys.add(key);
    for (const key of this.#keys) {
      if (this.#keys.size <= MAX_KEYS) break;
      this.#keys.delete(key);
    }
    const issuers = new Set(revoked.flatMap(({ subjectKeyId }) => subjectKeyId ?? []));
    for (const issuer of issuers) this.#issuers.add(issuer);
    return {
      identities: new Map(later.map(({ spiffeId, beforeMs }) => [spiffeId, beforeMs])),
      keys: doubted,
      issuers,
    };
  }

  /**
   * Why a handshake with a certificate may not stand, whatever its serial. Of an identity that was revoked only certificates that were issued before then beyond doubt: those
   * that live are known by serial.
   */
  whyRefused({
    keySha256,
    authorityKeyId,
    spiffeId,
    notBefore,
  }: Pick<PeerCertificate, "keySha256" | "authorityKeyId" | "spiffeId" | "notBefore">): string | undefined {
    if (this.#keys.has(keySha256)) return "its key";
    // Who has a revoked authority's key leaves its identifier out: nothing of ours does.
    if (this.#issuers.size > 0 && (authorityKeyId === undefined || this.#issuers.has(authorityKeyId)))
      return "its issuer";
    const beforeMs = spiffeId === undefined ? undefined : this.#identities.get(spiffeId);
    if (beforeMs === undefined || notBefore.getTime() + ISSUED_AFTER_NOT_BEFORE_MS >= beforeMs)
      return undefined;
    return "its identity";
  }
}
