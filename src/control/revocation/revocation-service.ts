import type { RevokedCertificate } from "../../identity/revocation/revoked-set.ts";
import type { AuditRecord, CaStore, Revocation, RevocationTarget } from "../../identity/store/ca-store.ts";
import type { RevocationUpdate, RevokeReport } from "./messages.ts";

/** How the connected proxies took an update. */
export interface PushOutcome {
  readonly told: number;
  readonly confirmed: number;
  readonly cut: number;
}

export interface RevocationServiceOptions {
  readonly store: CaStore;
  /** Tells every connected proxy. Never rejects. */
  readonly push: (update: RevocationUpdate) => Promise<PushOutcome>;
  /** Every revocation, also another replica's, once it is in force here. */
  readonly onRevoked: (revocations: readonly Revocation[]) => void;
  /** The store could not be read: it is asked again. */
  readonly onProblem: (error: unknown) => void;
  /** As RevocationUpdate has it. */
  readonly maxAgeMs?: number;
  readonly clock?: () => number;
}

const RETRY_MS = 500;
/** Three words of life within the time after which silence counts. */
const BEATS_PER_MAX_AGE = 3;
/** As RevokedSet keeps them: clocks differ. */
const KEEP_AFTER_END_MS = 5 * 60_000;

/**
 * What is revoked, told to every proxy as it happens. Follows the store by its sequence, so that this replica's revocations and those of others take
 * one way, in order, and each is told once.
 */
export class RevocationService {
  readonly #options: RevocationServiceOptions;
  readonly #clock: () => number;
  readonly #stopping = new AbortController();
  #live: Revocation[] = [];
  #sequence = 0;
  #pulling: Promise<void> = Promise.resolve();
  /** What the last news came to; `upTo` by sequence. */
  #pushed: { readonly upTo: number; readonly outcome: PushOutcome } = { upTo: 0, outcome: NOBODY };
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(options: RevocationServiceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * Reads what is revoked, and follows the store from then on.
   * @throws {BulwarkError} BW_CA_STORE_…: without its revocations no control plane may welcome a proxy.
   */
  async start(): Promise<void> {
    await this.#read();
    this.#follow();
  }

  /** All that is revoked and has not ended. */
  get everything(): RevocationUpdate {
    const nowMs = this.#clock();
    this.#live = this.#live.filter(({ notAfterMs }) => notAfterMs + KEEP_AFTER_END_MS > nowMs);
    return this.#update(this.#live);
  }

  /**
   * Revokes, and returns once every connected proxy has said that it acts on it, or had its time to.
   * @throws {BulwarkError} BW_CA_STORE_…: nothing was revoked.
   */
  async revoke(
    target: RevocationTarget,
    how: { readonly reason: Revocation["reason"]; readonly by: string },
  ): Promise<Pick<RevokeReport, "revoked" | "proxies" | "connectionsCut" | "durationMs">> {
    const startedMs = performance.now();
    const revoked = await this.#options.store.revoke(target, { ...how, atMs: this.#clock() });
    await this.#pull();
    const { told, confirmed, cut } = this.#outcomeOf(revoked.at(-1));
    const durationMs = performance.now() - startedMs;
    await this.#audit(target, revoked, how);
    return {
      revoked: revoked.map(({ serial, spiffeId, notAfterMs }) => ({
        serial,
        identity: spiffeId,
        notAfter: new Date(notAfterMs).toISOString(),
      })),
      proxies: { told, confirmed },
      connectionsCut: cut,
      durationMs,
    };
  }

  close(): void {
    this.#stopping.abort();
    clearInterval(this.#heartbeat);
  }

  #follow(): void {
    const { store, maxAgeMs = 0, push } = this.#options;
    store.watchRevocations(() => void this.#pull(), this.#stopping.signal);
    if (maxAgeMs === 0) return;
    this.#heartbeat = setInterval(() => void push(this.#update([])), maxAgeMs / BEATS_PER_MAX_AGE);
    this.#heartbeat.unref();
  }

  /** The store's own word that there is news may have had it pushed a moment before. */
  #outcomeOf(last: Revocation | undefined): PushOutcome {
    return last !== undefined && this.#pushed.upTo >= last.sequence ? this.#pushed.outcome : NOBODY;
  }

  /** One after the other: what two would read at once would be told twice. Never rejects. */
  #pull(): Promise<void> {
    this.#pulling = this.#pulling.then(() => this.#pullOnce());
    return this.#pulling;
  }

  async #pullOnce(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    try {
      const news = await this.#read();
      if (news.length === 0) return;
      const upTo = this.#sequence;
      this.#pushed = { upTo, outcome: await this.#options.push(this.#update(news)) };
      this.#options.onRevoked(news);
    } catch (error) {
      this.#options.onProblem(error);
      setTimeout(() => void this.#pull(), RETRY_MS).unref();
    }
  }

  async #read(): Promise<readonly Revocation[]> {
    const news = await this.#options.store.revocationsSince(this.#sequence);
    this.#sequence = news.at(-1)?.sequence ?? this.#sequence;
    this.#live.push(...news);
    return news;
  }

  #update(revoked: readonly Revocation[]): RevocationUpdate {
    return { revoked: revoked.map(forProxies), maxAgeMs: this.#options.maxAgeMs ?? 0 };
  }

  /** What was revoked is revoked: a record that cannot be written must not make the caller think otherwise. */
  async #audit(
    target: RevocationTarget,
    revoked: readonly Revocation[],
    { reason, by }: { readonly reason: string; readonly by: string },
  ): Promise<void> {
    const common = { timeMs: this.#clock(), kind: "revoked", caller: by, method: null, code: null } as const;
    const spiffeId = "spiffeId" in target ? target.spiffeId : (revoked[0]?.spiffeId ?? null);
    const records: AuditRecord[] = revoked.map(({ serial, spiffeId }) => ({
      ...common,
      spiffeId,
      serial,
      message: `revoked: ${reason}`,
    }));
    if ("spiffeId" in target)
      records.push({ ...common, spiffeId, serial: null, message: `the identity was cut off: ${reason}` });
    try {
      for (const record of records) await this.#options.store.audit(record);
    } catch (error) {
      this.#options.onProblem(error);
    }
  }
}

const NOBODY: PushOutcome = { told: 0, confirmed: 0, cut: 0 };

function forProxies({ issuerKeyId, serial, notAfterMs, reason }: Revocation): RevokedCertificate {
  return { issuerKeyId, serial, notAfterMs, reason };
}
