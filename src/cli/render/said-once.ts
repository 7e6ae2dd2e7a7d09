/** Lines of which the same may come by the hundred, as when somebody knocks all the time. */
export class SaidOnce {
  readonly #periodMs: number;
  readonly #nowMs: () => number;
  readonly #said = new Map<string, { readonly atMs: number; repeats: number }>();

  /** @param periodMs how long a line that was said is held back. @param nowMs default: the monotonic clock. */
  constructor(periodMs: number, nowMs: () => number = () => performance.now()) {
    this.#periodMs = periodMs;
    this.#nowMs = nowMs;
  }

  /** The line, with how often it came meanwhile; undefined when it was said a short while ago. */
  say(line: string): string | undefined {
    const nowMs = this.#nowMs();
    const before = this.#said.get(line);
    if (before !== undefined && nowMs - before.atMs < this.#periodMs) {
      before.repeats += 1;
      return undefined;
    }
    this.#forget(nowMs);
    this.#said.set(line, { atMs: nowMs, repeats: 0 });
    return before === undefined || before.repeats === 0
      ? line
      : `${line}; ${before.repeats} more since it was last told`;
  }

  /** So that lines which name what changes do not pile up. */
  #forget(nowMs: number): void {
    for (const [line, { atMs, repeats }] of this.#said)
      if (repeats === 0 && nowMs - atMs >= this.#periodMs) this.#said.delete(line);
    if (this.#said.size >= MOST_LINES) this.#said.clear();
  }
}

const MOST_LINES = 1000;
