import type { CaStore } from "./ca-store.ts";

const DAY_MS = 86_400_000;

/**
 * How long records are kept, so that a store does not grow without bound. What ended is kept a week for whoever asks what it was; a revoked certificate stays on record
 * as long after its end (RFC 5280 §3.3 wants it on one more CRL). Cutoffs stay: they are one line an identity, and a token may have no end.
 */
export const RETENTION = {
  endedMs: 7 * DAY_MS,
  auditMs: 30 * DAY_MS,
  /** Strangers can make refusals: of those the newest so many are kept, so that they can neither fill the disk nor push out other records. */
  refusals: 200_000,
} as const;

/** Rows of one kind that one transaction removes: issuing waits no longer than that takes (some 20 ms). */
export const PRUNE_ROWS = 2000;

export interface PruneLimits {
  readonly endedBeforeMs: number;
  readonly auditedBeforeMs: number;
  readonly refusals: number;
  readonly rows: number;
}

export function pruneLimits(nowMs: number): PruneLimits {
  return {
    endedBeforeMs: nowMs - RETENTION.endedMs,
    auditedBeforeMs: nowMs - RETENTION.auditMs,
    refusals: RETENTION.refusals,
    rows: PRUNE_ROWS,
  };
}

/** Removes slice after slice until one finds nothing. @param slice @returns how many rows went. */
export async function pruneAll(
  slice: (limits: PruneLimits) => Promise<number>,
  nowMs: number,
): Promise<number> {
  let sum = 0;
  for (;;) {
    const removed = await slice(pruneLimits(nowMs));
    if (removed === 0) return sum;
    sum += removed;
  }
}

const FIRST_PRUNE_MS = 60_000;
const PRUNE_EVERY_MS = 3_600_000;

/** Prunes a store soon and then every hour. One that fails (a full disk, a database that is away) is made up for by the next. @returns stops it. */
export function keepPruned(store: Pick<CaStore, "prune">, clock: () => number): () => void {
  const prune = (): void => {
    store.prune(clock()).catch(() => undefined);
  };
  const first = setTimeout(prune, FIRST_PRUNE_MS).unref();
  const every = setInterval(prune, PRUNE_EVERY_MS).unref();
  return () => {
    clearTimeout(first);
    clearInterval(every);
  };
}
