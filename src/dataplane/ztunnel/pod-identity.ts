import type { SvidSource } from "../../identity/rotation.ts";
import { HandshakesInFlight } from "../handshakes-in-flight.ts";
import type { RevocationGuard } from "../revocation-guard.ts";
import { makeTlsContexts, type TlsContexts } from "../tls-contexts.ts";

export interface PodIdentityOptions {
  /** With its scheme. */
  readonly spiffeId: string;
  readonly source: SvidSource;
  readonly revocations: RevocationGuard;
  readonly onWarning: (message: string) => void;
}

/**
 * The key and certificate of one identity, for all pods of the node that run as it.
 * INVARIANT: what it gives is a certificate of that very identity, or nothing: a source that was mixed up serves nobody.
 */
export class PodIdentity {
  readonly spiffeId: string;
  readonly source: SvidSource;
  /** Handshakes with servers that are under way under it. */
  readonly handshakes = new HandshakesInFlight();
  readonly #options: PodIdentityOptions;
  readonly #listeners = new Set<() => void>();
  #contexts: TlsContexts | undefined;

  constructor(options: PodIdentityOptions) {
    this.#options = options;
    this.spiffeId = options.spiffeId;
    this.source = options.source;
    this.#take();
    for (const event of EVENTS) this.source.on(event, this.#changed);
    // Revocations are known before the first pod is.
    this.discardRevoked();
  }

  /** Fails closed: undefined without a certificate, past its end, or once it is revoked. */
  contexts(): TlsContexts | undefined {
    return this.source.current === undefined ? undefined : this.#contexts;
  }

  /** @param changed called when another certificate, or other trust, is in force. @returns what ends that. */
  watch(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Lets go of a certificate that was revoked; the source asks for another, which a revoked identity does not get. */
  discardRevoked(): boolean {
    const contexts = this.#contexts;
    if (contexts === undefined || !this.#options.revocations.isRevoked(contexts.own)) return false;
    this.#contexts = undefined;
    return this.source.discard(contexts.svid.serial);
  }

  /** Settles when no handshake is left that began under what was in force before. */
  untilOldHandshakesEnded(): Promise<void> {
    return this.handshakes.untilOthersEnded(this.#contexts);
  }

  close(): void {
    for (const event of EVENTS) this.source.off(event, this.#changed);
    this.#contexts = undefined;
  }

  readonly #changed = (): void => {
    this.#take();
    if (this.discardRevoked()) return;
    for (const changed of this.#listeners) changed();
  };

  #take(): void {
    const svid = this.source.current;
    this.#contexts = undefined;
    if (svid === undefined) return;
    const { onWarning } = this.#options;
    if (svid.identity !== this.spiffeId) {
      onWarning(`the certificate for ${this.spiffeId} is of ${svid.identity}: it is not used`);
      return;
    }
    try {
      this.#contexts = makeTlsContexts(svid);
    } catch (error) {
      onWarning(`the new certificate of ${this.spiffeId} cannot be used: ${String(error)}`);
    }
  }
}

const EVENTS = ["rotated", "expired", "discarded"] as const;
