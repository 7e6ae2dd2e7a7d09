/** Well inside the second within which every replica has to know. */
const POLL_MS = 400;

/**
 * Calls back when a store's news change: at once where `look` is called, else found by polling while anybody watches. Each watcher is also called when it
 * begins to watch, so that nothing between its last reading and that moment is missed.
 */
export class RevocationWatch {
  readonly #read: () => Promise<number>;
  /** What each was last called for. */
  readonly #watchers = new Map<() => void, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #again = false;

  /** @param read a number that every revocation and cutoff changes. */
  constructor(read: () => Promise<number>) {
    this.#read = read;
  }

  add(onNews: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    // A function of its own: one callback may watch twice, under two signals.
    const watcher = (): void => onNews();
    this.#watchers.set(watcher, Number.NaN);
    signal.addEventListener("abort", () => this.#remove(watcher), { once: true });
    this.#timer ??= setInterval(() => this.look(), POLL_MS).unref();
    this.look();
  }

  look(): void {
    this.#again = true;
    if (!this.#looking && this.#watchers.size > 0) void this.#look();
  }

  stop(): void {
    for (const watcher of this.#watchers.keys()) this.#remove(watcher);
  }

  async #look(): Promise<void> {
    this.#looking = true;
    while (this.#again) {
      this.#again = false;
      // A look that fails is made again by the next poll.
      const news = await this.#read().catch(() => undefined);
      if (news !== undefined) this.#tell(news);
    }
    this.#looking = false;
  }

  #tell(news: number): void {
    for (const [watcher, seen] of this.#watchers) {
      if (seen === news) continue;
      this.#watchers.set(watcher, news);
      // What a watcher throws is its own: neither other watchers nor the next look suffer from it.
      queueMicrotask(watcher);
    }
  }

  #remove(watcher: () => void): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
