/** The pause before the next attempt: doubles with each failure, half of it random, and can be cut short. */
export class RetryPause {
  readonly #minMs: number;
  readonly #maxMs: number;
  #wake: (() => void) | undefined;

  constructor(minMs: number, maxMs: number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
  }

  /** Resolves after the pause that suits the number of failures in a row (1 or more), or at {@link wake}. Keeps no process alive. */
  async pause(failures: number): Promise<void> {
    const longestMs = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(failures - 1, 20));
    // The proxies of a mesh must not come back all at once.
    const pauseMs = longestMs * (0.5 + Math.random() / 2);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  wake(): void {
    this.#wake?.();
  }
}

/** The work's outcome, or a rejection when there is none in time; what the work does later is ignored. */
export async function withTimeout<T>(work: () => Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    timer.unref();
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
