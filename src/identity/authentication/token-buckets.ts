export interface BucketOptions {
  readonly ratePerSecond: number;
  /** So many at once, after a quiet time. */
  readonly burst: number;
  /** So many keys are remembered; past that the one that was quiet for longest is forgotten, which fills its bucket. */
  readonly capacity?: number;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
}

interface Bucket {
  tokens: number;
  atMs: number;
  /** Refusals since the last one that was told of. */
  untold: number;
  toldAtMs: number;
}

export type BucketAnswer =
  | { readonly allowed: true }
  /** `tell`: whether to write of it; `untold`: how many before it were not written of. */
  | { readonly allowed: false; readonly tell: boolean; readonly untold: number };

const DEFAULT_CAPACITY = 65_536;
const TELL_EVERY_MS = 1000;
const ALLOWED: BucketAnswer = { allowed: true };

/** One token bucket a key, in bounded memory. A flood of refusals is told of once a second a key, or the log would be the next victim. */
export class TokenBuckets {
  readonly #options: Required<BucketOptions>;
  /** Least recently used first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: BucketOptions) {
    this.#options = { capacity: DEFAULT_CAPACITY, clock: () => performance.now(), ...options };
  }

  get size(): number {
    return this.#buckets.size;
  }

  take(key: string): BucketAnswer {
    const nowMs = this.#options.clock();
    const bucket = this.#refilled(key, nowMs);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return ALLOWED;
    }
    if (nowMs - bucket.toldAtMs < TELL_EVERY_MS) {
      bucket.untold += 1;
      return { allowed: false, tell: false, untold: bucket.untold };
    }
    const { untold } = bucket;
    Object.assign(bucket, { untold: 0, toldAtMs: nowMs });
    return { allowed: false, tell: true, untold };
  }

  #refilled(key: string, nowMs: number): Bucket {
    const { ratePerSecond, burst, capacity } = this.#options;
    const known = this.#buckets.get(key);
    this.#buckets.delete(key);
    const oldest = this.#buckets.size >= capacity ? this.#buckets.keys().next().value : undefined;
    if (oldest !== undefined) this.#buckets.delete(oldest);
    const bucket = known ?? { tokens: burst, atMs: nowMs, untold: 0, toldAtMs: Number.NEGATIVE_INFINITY };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * ratePerSecond);
    bucket.atMs = nowMs;
    this.#buckets.set(key, bucket);
    return bucket;
  }
}
