/** When there was any evidence, and when there was none. */
const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
/** A log of ten years; what lies outside is a clock that was never set. */
const MAX_HOURS = 10 * 366 * DAY_HOURS;

export interface Hole {
  /** Milliseconds since the epoch, whole hours; `to` is not part of it. */
  readonly fromMs: number;
  readonly toMs: number;
}

export class EvidenceSpan {
  readonly #hours = new Set<number>();
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;

  add(timeMs: number): void {
    if (timeMs < this.#first) this.#first = timeMs;
    if (timeMs > this.#last) this.#last = timeMs;
    const hour = Math.floor(timeMs / HOUR_MS);
    if (this.#hours.size < MAX_HOURS) this.#hours.add(hour);
  }

  /** Undefined without any evidence. */
  get firstMs(): number | undefined {
    return Number.isFinite(this.#first) ? this.#first : undefined;
  }

  get lastMs(): number | undefined {
    return Number.isFinite(this.#last) ? this.#last : undefined;
  }

  /** From the first to the last. */
  get days(): number {
    return Number.isFinite(this.#first) ? (this.#last - this.#first) / (DAY_HOURS * HOUR_MS) : 0;
  }

  /** Hours between the first and the last without a single record, joined, longest first. */
  holes(): readonly Hole[] {
    const hours = [...this.#hours].sort((a, b) => a - b);
    const holes = hours.flatMap((hour, at): Hole[] => {
      const next = hours[at + 1];
      return next === undefined || next === hour + 1
        ? []
        : [{ fromMs: (hour + 1) * HOUR_MS, toMs: next * HOUR_MS }];
    });
    return holes.toSorted((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs));
  }

  /** Hours of the day (UTC) that no day has a record of. */
  hoursNeverSeen(): readonly number[] {
    const seen = new Set([...this.#hours].map((hour) => ((hour % DAY_HOURS) + DAY_HOURS) % DAY_HOURS));
    return Array.from({ length: DAY_HOURS }, (_, hour) => hour).filter((hour) => !seen.has(hour));
  }

  /** 0 is Sunday, UTC. */
  weekdaysNeverSeen(): readonly number[] {
    const seen = new Set([...this.#hours].map((hour) => new Date(hour * HOUR_MS).getUTCDay()));
    return [0, 1, 2, 3, 4, 5, 6].filter((day) => !seen.has(day));
  }
}
