import { BulwarkError } from "../../resources/bulwark-error.ts";

/** One showing of a token whose signature has been found good. */
export interface TokenUse {
  /** Names the token: its issuer and `jti`, or the hash of what was signed. */
  readonly tokenKey: string;
  readonly notAfterMs: number;
  /** Who shows it; undefined where addresses say nothing, as on a Unix socket. */
  readonly peerAddress: string | undefined;
  /** Where its owner's requests come from; empty when that is not known. */
  readonly ownAddresses: readonly string[];
}

export interface TokenUsesOptions {
  /** A token of these may be shown once, by whomever. */
  readonly singleUse: boolean;
  readonly capacity?: number;
}

interface Seen {
  /** The first that was known: on a Unix socket there is none, which says nothing of the next. */
  peerAddress: string | undefined;
  readonly notAfterMs: number;
}

const DEFAULT_CAPACITY = 100_000;
const SWEEP_EVERY_MS = 1000;

/**
 * Remembers who showed which token, until the token ends. Detects a token that is shown from elsewhere than its owner, or, where
 * the owner's addresses are not known, than it was shown first. Memory of this process: another replica, or this one started
 * again, begins anew; and whoever shares an address with the owner is not told from it.
 */
export class TokenUses {
  readonly #options: Required<TokenUsesOptions>;
  /** In order of first use. */
  readonly #seen = new Map<string, Seen>();
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: TokenUsesOptions) {
    this.#options = { capacity: DEFAULT_CAPACITY, ...options };
  }

  get size(): number {
    return this.#seen.size;
  }

  /**
   * @param nowMs milliseconds since the epoch.
   * @throws {BulwarkError} BW_TOKEN_REPLAYED; BW_TOKEN_REPLAY_UNKNOWN when there is no room to remember a token for single use.
   */
  use(use: TokenUse, nowMs: number): void {
    const { tokenKey, peerAddress, ownAddresses, notAfterMs } = use;
    const seen = this.#seen.get(tokenKey);
    if (seen !== undefined && this.#options.singleUse)
      throw replayed("the token is for one use, and was shown before");
    if (peerAddress !== undefined && ownAddresses.length > 0 && !ownAddresses.includes(peerAddress))
      throw replayed("the token is shown from an address that is not its pod's");
    if (seen === undefined) {
      this.#makeRoom(nowMs);
      this.#seen.set(tokenKey, { peerAddress, notAfterMs });
      return;
    }
    if (ownAddresses.length === 0 && isAnother(seen.peerAddress, peerAddress))
      throw replayed("the token was shown before, from another address");
    seen.peerAddress ??= peerAddress;
  }

  /** Of live tokens the eldest goes; not of those for single use, since to be forgotten is what a replay waits for. */
  #makeRoom(nowMs: number): void {
    const { capacity, singleUse } = this.#options;
    if (this.#seen.size < capacity) return;
    if (nowMs - this.#sweptAtMs >= SWEEP_EVERY_MS) {
      this.#sweptAtMs = nowMs;
      for (const [key, { notAfterMs }] of this.#seen) if (notAfterMs <= nowMs) this.#seen.delete(key);
      if (this.#seen.size < capacity) return;
    }
    if (singleUse) {
      const message = "too many tokens are in use to tell whether this one was shown before";
      throw new BulwarkError("BW_TOKEN_REPLAY_UNKNOWN", message);
    }
    const eldest = this.#seen.keys().next().value;
    if (eldest !== undefined) this.#seen.delete(eldest);
  }
}

function isAnother(before: string | undefined, now: string | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now;
}

function replayed(message: string): BulwarkError {
  return new BulwarkError("BW_TOKEN_REPLAYED", message);
}
