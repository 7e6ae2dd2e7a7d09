/** What waits at the gate. */
interface Named {
  readonly name: string;
}

export interface StartGateOptions<Spec extends Named> {
  /** So many may be starting at the same time. */
  readonly width: number;
  /** One that does not say that it is ready keeps the others out no longer than this. */
  readonly patienceMs: number;
  readonly start: (spec: Spec) => void;
}

/**
 * Lets processes start a few at a time, in their order. Sixty at once share the processors between them, so that all are late,
 * the first as the last, and each compiles its code for itself: with the gate those after the first find it in the cache.
 */
export class StartGate<Spec extends Named> {
  readonly #options: StartGateOptions<Spec>;
  readonly #waiting = new Map<string, Spec>();
  readonly #starting = new Map<string, NodeJS.Timeout>();

  constructor(options: StartGateOptions<Spec>) {
    this.#options = options;
  }

  /** Starts it when its turn comes. One that waits already, or is starting, is there with its newer spec. */
  enter(spec: Spec): void {
    if (this.#starting.has(spec.name)) {
      this.#options.start(spec);
      return;
    }
    this.#waiting.set(spec.name, spec);
    this.#next();
  }

  /** It is ready, or has ended: the next may start. */
  leave(name: string): void {
    clearTimeout(this.#starting.get(name));
    if (this.#starting.delete(name)) this.#next();
  }

  /** Those that wait still and are not wanted any more. */
  keepOnly(wanted: ReadonlySet<string>): void {
    for (const name of this.#waiting.keys()) if (!wanted.has(name)) this.#waiting.delete(name);
  }

  /** Nothing starts any more. */
  close(): void {
    this.#waiting.clear();
    for (const timer of this.#starting.values()) clearTimeout(timer);
    this.#starting.clear();
  }

  #next(): void {
    for (const [name, spec] of this.#waiting) {
      if (this.#starting.size >= this.#options.width) return;
      this.#waiting.delete(name);
      this.#starting.set(
        name,
        setTimeout(() => this.leave(name), this.#options.patienceMs),
      );
      this.#options.start(spec);
    }
  }
}
