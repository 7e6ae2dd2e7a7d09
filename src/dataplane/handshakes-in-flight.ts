import type { TlsContexts } from "./tls-contexts.ts";

/**
 * Handshakes with servers of the mesh that are under way, by the certificate and trust that they began with. A proxy that says it
 * has taken other trust must not have one left that would still refuse, or be refused, by what was before.
 */
export class HandshakesInFlight {
  readonly #byContexts = new Map<TlsContexts, number>();
  #waiting: (() => void)[] = [];

  began(contexts: TlsContexts): void {
    this.#byContexts.set(contexts, (this.#byContexts.get(contexts) ?? 0) + 1);
  }

  ended(contexts: TlsContexts): void {
    const left = (this.#byContexts.get(contexts) ?? 1) - 1;
    if (left > 0) {
      this.#byContexts.set(contexts, left);
      return;
    }
    this.#byContexts.delete(contexts);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Settles when none is left that began before the call with other contexts than these: after the limit on connecting at the latest. */
  async untilOthersEnded(current: TlsContexts | undefined): Promise<void> {
    const others = [...this.#byContexts.keys()].filter((contexts) => contexts !== current);
    while (others.some((contexts) => this.#byContexts.has(contexts)))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
