import type { RevokedCertificate } from "../../identity/revocation/revoked-set.ts";
import type {
  AuditRecord,
  CaStore,
  IdentityCutoff,
  Revocation,
  RevocationTarget,
  RevokeHow,
} from "../../identity/store/ca-store.ts";
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
/** Proxies know the newest so many keys, which is 0.7 MB; the CA knows all. Their certificates are told by serial besides. */
export const MAX_KEYS = 10_000;

/** What a reading of the store brought. */
interface News {
  readonly revocations: readonly Revocation[];
  readonly cutoffs: readonly IdentityCutoff[];
  readonly keys: readonly string[];
}

/**
 * What is revoked, told to every proxy as it happens. Follows the store by its sequence, so that this replica's revocations and those of others take
 * one way, in order, and each is told once.
 */
export class RevocationService {
  readonly #options: RevocationServiceOptions;
  readonly #clock: () => number;
  readonly #stopping = new AbortController();
  #live: Revocation[] = [];
  /** By their own key identifiers. */
  readonly #authorities = new Map<string, Revocation>();
  #sequence = 0;
  readonly #cutoffs = new Map<string, number>();
  #keys: string[] = [];
  #keySequence = 0;
  #pulling: Promise<void> = Promise.resolve();
  /** What the last pushes came to, and when each began (performance.now). */
  #pushes: (PushOutcome & { readonly atMs: number })[] = [];
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
    const cutoffs = [...this.#cutoffs].map(([spiffeId, beforeMs]) => ({ spiffeId, beforeMs }));
    return this.#update(this.#live, cutoffs, this.#keys);
  }

  /**
   * Revokes, and returns once every connected proxy has said that it acts on it, or had its time to.
   * @throws {BulwarkError} BW_CA_STORE_…: nothing was revoked.
   */
  async revoke(
    target: RevocationTarget,
    how: Omit<RevokeHow, "atMs">,
  ): Promise<Pick<RevokeReport, "revoked" | "proxies" | "connectionsCut" | "durationMs">> {
    const startedMs = performance.now();
    const revoked = await this.#options.store.revoke(target, { ...how, atMs: this.#clock() });
    await this.#pull();
    const { told, confirmed, cut } = this.#outcomeSince(startedMs);
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

  /** Why what is signed under this key identifier counts for nothing. */
  authorityRevocation(keyId: string): Revocation | undefined {
    return this.#authorities.get(keyId);
  }

  close(): void {
    this.#stopping.abort();
    clearInterval(this.#heartbeat);
  }

  #follow(): void {
    const { store, maxAgeMs = 0, push } = this.#options;
    store.watchRevocations(() => void this.#pull(), this.#stopping.signal);
    if (maxAgeMs === 0) return;
    this.#heartbeat = setInterval(() => void push(this.#update([], [], [])), maxAgeMs / BEATS_PER_MAX_AGE);
    this.#heartbeat.unref();
  }

  /** The store's own word that there is news may have had it pushed a moment before; another's revocation may be in the same push, or in the next. */
  #outcomeSince(sinceMs: number): PushOutcome {
    const pushes = this.#pushes.filter(({ atMs }) => atMs >= sinceMs);
    const cut = pushes.reduce((sum, push) => sum + push.cut, 0);
    return { ...(pushes.at(-1) ?? NOBODY), cut };
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
      const { revocations, cutoffs, keys } = news;
      if (revocations.length === 0 && cutoffs.length === 0 && keys.length === 0) return;
      const atMs = performance.now();
      const outcome = await this.#options.push(this.#update(revocations, cutoffs, keys));
      this.#pushes = [...this.#pushes.slice(1 - KEPT_PUSHES), { ...outcome, atMs }];
      if (revocations.length > 0) this.#options.onRevoked(revocations);
    } catch (error) {
      this.#options.onProblem(error);
      setTimeout(() => void this.#pull(), RETRY_MS).unref();
    }
  }

  async #read(): Promise<News> {
    const { store } = this.#options;
    const [revocations, all, keys] = await Promise.all([
      store.revocationsSince(this.#sequence),
      store.cutoffs(),
      store.revokedKeysSince(this.#keySequence, MAX_KEYS),
    ]);
    this.#sequence = revocations.at(-1)?.sequence ?? this.#sequence;
    this.#live.push(...revocations);
    for (const one of revocations)
      if (one.subjectKeyId !== undefined) this.#authorities.set(one.subjectKeyId, one);
    const cutoffs = all.filter(({ spiffeId, beforeMs }) => beforeMs > (this.#cutoffs.get(spiffeId) ?? 0));
    for (const { spiffeId, beforeMs } of cutoffs) this.#cutoffs.set(spiffeId, beforeMs);
    this.#keySequence = keys.at(-1)?.sequence ?? this.#keySequence;
    const hashes = keys.map(({ keyHash }) => keyHash);
    this.#keys = [...this.#keys, ...hashes].slice(-MAX_KEYS);
    return { revocations, cutoffs, keys: hashes };
  }

  #update(
    revoked: readonly Revocation[],
    cutoffs: readonly IdentityCutoff[] | RevocationUpdate["identities"],
    keys: readonly string[],
  ): RevocationUpdate {
    return {
      revoked: revoked.map(forProxies),
      identities: cutoffs.map(({ spiffeId, beforeMs }) => ({ spiffeId, beforeMs })),
      keys,
      sentAtMs: this.#clock(),
      maxAgeMs: this.#options.maxAgeMs ?? 0,
    };
  }

  /** What was revoked is revoked: a record that cannot be written must not make the caller think otherwise. */
  async #audit(
    target: RevocationTarget,
    revoked: readonly Revocation[],
    { reason, by, block }: Omit<RevokeHow, "atMs">,
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
      records.push({
        ...common,
        spiffeId,
        serial: null,
        message: `the identity was cut off${block === true ? " and blocked" : ""}: ${reason}`,
      });
    try {
      for (const record of records) await this.#options.store.audit(record);
    } catch (error) {
      this.#options.onProblem(error);
    }
  }
}

/** More revocations than that at one time only count their connections less exactly. */
const KEPT_PUSHES = 64;
const NOBODY: PushOutcome = { told: 0, confirmed: 0, cut: 0 };

function forProxies({
  issuerKeyId,
  serial,
  notAfterMs,
  reason,
  subjectKeyId,
}: Revocation): RevokedCertificate {
  const revoked = { issuerKeyId, serial, notAfterMs, reason };
  return subjectKeyId === undefined ? revoked : { ...revoked, subjectKeyId };
}
