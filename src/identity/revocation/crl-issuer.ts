import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Issuer } from "../sign.ts";
import type { CaStore, Revocation } from "../store/ca-store.ts";
import { encodeCrl } from "./encode-crl.ts";

/** The newest lists of one issuer; both have the same number. */
export interface CrlPair {
  readonly number: number;
  readonly full: Buffer;
  /** What was revoked since the full list of `baseNumber`. */
  readonly delta: Buffer;
  readonly baseNumber: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

export interface CrlIssuerOptions {
  readonly store: Pick<CaStore, "read" | "compareAndSet" | "revocationsSince">;
  /** How long a list may be relied on; it is replaced at half of that, and at every revocation. */
  readonly listTtlMs?: number;
  /** Where an issuer's delta is had, which its full lists then say. */
  readonly deltaUrl?: (issuerKeyId: string) => string | undefined;
  /** How often a new base is taken for deltas. */
  readonly baseAgeMs?: number;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
}

/** What replicas share of an issuer's lists. */
interface Numbering {
  readonly number: number;
  readonly base: { readonly number: number; readonly sequence: number; readonly atMs: number };
}

const LIST_TTL_MS = 3_600_000;
const BASE_AGE_MS = 3_600_000;
/** RFC 5280 §3.3: an entry stays until a list was issued after the certificate's end. */
const KEEP_AFTER_END_MS = 2 * LIST_TTL_MS;
const ATTEMPTS = 20;

/** Issues CRLs, when somebody asks for one and the last is no longer right. Numbers never repeat, across restarts and replicas. */
export class CrlIssuer {
  readonly #options: CrlIssuerOptions;
  readonly #clock: () => number;
  readonly #newest = new Map<string, { readonly pair: CrlPair; readonly sequence: number }>();
  readonly #underWay = new Map<string, Promise<CrlPair>>();

  constructor(options: CrlIssuerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * @throws {BulwarkError} BW_CA_STORE_…, BW_KEY_…, BW_CRL_CONTENTION when other replicas issue all the time.
   */
  current(issuer: Issuer): Promise<CrlPair> {
    const keyId = issuer.subjectKeyId.toString("hex");
    const running = this.#underWay.get(keyId);
    if (running !== undefined) return running;
    const made = this.#current(issuer, keyId).finally(() => this.#underWay.delete(keyId));
    this.#underWay.set(keyId, made);
    return made;
  }

  async #current(issuer: Issuer, keyId: string): Promise<CrlPair> {
    const nowMs = this.#clock();
    const known = this.#newest.get(keyId);
    const news = await this.#options.store.revocationsSince(known?.sequence ?? 0);
    const isRight =
      known !== undefined &&
      news.length === 0 &&
      nowMs < (known.pair.thisUpdateMs + known.pair.nextUpdateMs) / 2;
    if (isRight) return known.pair;
    const all = known === undefined ? news : await this.#options.store.revocationsSince(0);
    const sequence = all.at(-1)?.sequence ?? 0;
    const pair = await this.#issue(issuer, keyId, all, nowMs);
    this.#newest.set(keyId, { pair, sequence });
    return pair;
  }

  async #issue(issuer: Issuer, keyId: string, all: readonly Revocation[], nowMs: number): Promise<CrlPair> {
    const entries = all.filter(
      (one) => one.issuerKeyId === keyId && one.notAfterMs + KEEP_AFTER_END_MS > nowMs,
    );
    const { number, base } = await this.#nextNumber(keyId, all.at(-1)?.sequence ?? 0, nowMs);
    const thisUpdateMs = Math.floor(nowMs / 1000) * 1000;
    const nextUpdateMs = thisUpdateMs + (this.#options.listTtlMs ?? LIST_TTL_MS);
    const common = { issuer, number, thisUpdateMs, nextUpdateMs };
    const since = entries.filter(({ sequence }) => sequence > base.sequence);
    const deltaUrl = this.#options.deltaUrl?.(keyId);
    const full = await encodeCrl({ ...common, entries, ...(deltaUrl === undefined ? {} : { deltaUrl }) });
    const delta = await encodeCrl({ ...common, baseNumber: base.number, entries: since });
    return { number, full, delta, baseNumber: base.number, thisUpdateMs, nextUpdateMs };
  }

  async #nextNumber(keyId: string, sequence: number, nowMs: number): Promise<Numbering> {
    const name = `crl-${keyId}`;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { version, text } = await this.#options.store.read(name);
      const last = readNumbering(text);
      const next = numberAfter(last, sequence, nowMs, this.#options.baseAgeMs ?? BASE_AGE_MS);
      if (await this.#options.store.compareAndSet(name, version, JSON.stringify(next))) return next;
    }
    throw new BulwarkError(
      "BW_CRL_CONTENTION",
      "other replicas of the CA issue revocation lists all the time",
    );
  }
}

function numberAfter(
  last: Numbering | undefined,
  sequence: number,
  nowMs: number,
  baseAgeMs: number,
): Numbering {
  const number = (last?.number ?? 0) + 1;
  const isFresh = last !== undefined && nowMs - last.base.atMs < baseAgeMs && sequence >= last.base.sequence;
  return { number, base: isFresh ? last.base : { number, sequence, atMs: nowMs } };
}

/** Undefined before the first. @throws {BulwarkError} BW_CRL_STATE_DAMAGED: a number that was used must not be used again. */
function readNumbering(text: string): Numbering | undefined {
  if (text === "") return undefined;
  try {
    const value = JSON.parse(text) as Partial<Numbering>;
    const { number, base } = value;
    if (
      Number.isSafeInteger(number) &&
      Number.isSafeInteger(base?.number) &&
      Number.isSafeInteger(base?.sequence)
    )
      return value as Numbering;
  } catch {
    // Told below, with what cannot be parsed.
  }
  throw new BulwarkError(
    "BW_CRL_STATE_DAMAGED",
    "the record of the last revocation list's number is damaged",
  );
}
