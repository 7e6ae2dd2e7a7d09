import type { CertificateAuthority } from "../../identity/ca.ts";
import type { CaStore } from "../../identity/store/ca-store.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type Beat, parseRegister, type Register } from "./register-text.ts";

export interface ReplicaRegisterOptions {
  readonly store: Pick<CaStore, "name" | "read" | "compareAndSet">;
  readonly ca: Pick<CertificateAuthority, "manifest" | "issuer">;
  /** Machine and state folder: what comes back there is this replica again, a copy of its folder elsewhere is another. */
  readonly place: string;
  /** The folder had no records of before: its keys bind nobody yet. */
  readonly isNewFolder: boolean;
  /** This replica cannot go on as it is; told once for each reason. */
  readonly onProblem: (message: string) => void;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  /** Milliseconds since any moment. */
  readonly monotonic?: () => number;
  readonly beatMs?: number;
  readonly freshMs?: number;
}

/** The store's value. */
const NAME = "replicas";
const BEAT_MS = 3000;
/** A replica that has been silent for longer may be gone, or only cut off: nobody can tell. */
const FRESH_MS = 20_000;
/** Replicas of machines that are thrown away must not fill the value. */
const FORGET_MS = 7 * 86_400_000;
/** Each loser of a race reads again; replicas are few. */
const MAX_TRIES = 20;

/**
 * Which replicas of a CA share its records, and which roots they have. INVARIANT: one root is in force in all of them, so a root is replaced only
 * while this is the only replica, and one that comes with other roots than those in force does not start. Both are decided by compare-and-set on one value, so
 * that of a replica which joins and a rotation which begins at the same moment one sees the other. Whether others live is judged by their beats, as seen by this
 * process's own clock: machines' clocks differ.
 */
export class ReplicaRegister {
  readonly #options: ReplicaRegisterOptions;
  readonly #clock: () => number;
  readonly #monotonic: () => number;
  readonly #seen = new Map<string, { readonly sign: string; readonly atMs: number }>();
  readonly #issuers = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #beginning = false;
  #closed = false;
  #behind: string | null = null;
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(options: ReplicaRegisterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
    this.#monotonic = options.monotonic ?? (() => performance.now());
  }

  /**
   * Takes this replica's place among the others, before it signs anything.
   * @throws {BulwarkError} BW_CA_REPLICA_BEHIND: other roots are in force, or are being brought into force; BW_CA_STORE_….
   */
  static async join(options: ReplicaRegisterOptions): Promise<ReplicaRegister> {
    const register = new ReplicaRegister(options);
    await register.#change((now) => register.#beaten(register.#joined(now)));
    register.#timer = setInterval(() => void register.publish(), options.beatMs ?? BEAT_MS);
    register.#timer.unref();
    return register;
  }

  /** Intermediates that the other replicas sign with, or have since this one joined: key identifiers. */
  get otherIssuers(): ReadonlySet<string> {
    return this.#issuers;
  }

  /** Why this replica cannot go on as it is; null where it can. */
  get behind(): string | null {
    return this.#behind;
  }

  /**
   * Before the first step of replacing the root: no replica can join from here on until {@link publish} finds it done, or not begun.
   * @param force go on without replicas that are silent; they cannot start again with the old root.
   * @throws {BulwarkError} BW_CA_REPLICAS, BW_CA_REPLICA_BEHIND, BW_CA_STORE_…: nothing may be changed.
   */
  async beginRoot(force: boolean): Promise<void> {
    this.#beginning = true;
    try {
      await this.#change((now) => this.#begun(now, force));
    } catch (error) {
      this.#beginning = false;
      throw error;
    }
  }

  /** The first step has been made, or has failed. */
  rootBegun(): void {
    this.#beginning = false;
    void this.publish();
  }

  /** A sign of life, and what has changed here. Never rejects: the next one makes up for it. */
  async publish(): Promise<void> {
    if (this.#closed) return;
    await this.#change((now) => this.#beaten(this.#told(now))).catch(() => undefined);
  }

  /** Its proxies may live on for a moment, and so does its place. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closed = true;
    await this.#change((now) => {
      const own = now.replicas[this.#options.place];
      if (own === undefined) return now;
      return { ...now, replicas: { ...now.replicas, [this.#options.place]: { ...own, leaving: true } } };
    }).catch(() => undefined);
  }

  #joined(now: Register): Register {
    const { ca, isNewFolder, place } = this.#options;
    const { manifest } = ca;
    if (manifest === undefined) return now;
    const { rotation } = now;
    const isSame = now.roots.length === 0 || isSameSet(now.roots, manifest.roots);
    if (rotation?.by === place) return now;
    if (rotation !== undefined) {
      const goesOn = rotation.id === "" ? isSame : rotation.id === manifest.rotation?.id;
      if (!goesOn || this.#isLately(now.replicas[rotation.by])) throw this.#replacing(rotation.by);
      return { ...now, rotation: { ...rotation, by: place } };
    }
    if (isSame) return { ...now, roots: manifest.roots };
    const isAlone = !Object.entries(now.replicas).some(([id, beat]) => id !== place && this.#isLately(beat));
    if (!isNewFolder || !isAlone) throw this.#otherRoots(now);
    return { ...now, roots: manifest.roots };
  }

  /** What the manifest says is what is so: the value follows it. */
  #told(now: Register): Register {
    const { ca, place } = this.#options;
    const { manifest } = ca;
    this.#setBehind(null);
    if (manifest === undefined || this.#beginning) return now;
    const isOwn = now.rotation?.by === place;
    if (now.rotation !== undefined && !isOwn) {
      this.#setBehind(this.#replacing(now.rotation.by).message);
      return now;
    }
    const { rotation: _, ...rest } = now;
    if (manifest.rotation?.kind === "root")
      return { ...now, rotation: { id: manifest.rotation.id, by: place } };
    if (!isOwn && now.roots.length > 0 && !isSameSet(now.roots, manifest.roots)) {
      this.#setBehind(this.#otherRoots(now).message);
      return now;
    }
    return { ...rest, roots: manifest.roots };
  }

  #begun(now: Register, force: boolean): Register {
    const { place } = this.#options;
    const { rotation } = now;
    this.#observe(now);
    if (rotation !== undefined && rotation.by !== place) throw this.#replacing(rotation.by);
    if (this.#behind !== null) throw behind(this.#behind);
    const others = Object.entries(now.replicas).filter(([id]) => id !== place);
    const live = others.filter(([id]) => this.#isFresh(id));
    if (live.length > 0) throw refused(live, "stop them (`bulwark down` there)");
    const silent = others.filter(([, { leaving }]) => leaving !== true);
    if (silent.length > 0 && !force)
      throw refused(
        silent,
        "it is silent, but its proxies may still run: stop it there, or go on without it (`--force`)",
      );
    const replicas = Object.fromEntries(Object.entries(now.replicas).filter(([id]) => id === place));
    return { ...now, replicas, rotation: { id: "", by: place } };
  }

  #beaten(now: Register): Register {
    this.#observe(now);
    const { ca, place } = this.#options;
    const nowMs = this.#clock();
    const kept = Object.entries(now.replicas).filter(
      ([id, { leaving, beatAt }]) =>
        id !== place &&
        (leaving === true ? this.#isFresh(id) : nowMs - Date.parse(beatAt) < FORGET_MS || this.#isFresh(id)),
    );
    const beats = (now.replicas[place]?.beats ?? 0) + 1;
    const own: Beat = { beatAt: new Date(nowMs).toISOString(), beats, issuer: ca.issuer.keyId };
    return { ...now, replicas: { ...Object.fromEntries(kept), [place]: own } };
  }

  #observe({ replicas }: Register): void {
    for (const [id, { beats, issuer, leaving = false }] of Object.entries(replicas)) {
      if (id === this.#options.place) continue;
      this.#issuers.add(issuer);
      const sign = `${beats} ${leaving}`;
      if (this.#seen.get(id)?.sign !== sign) this.#seen.set(id, { sign, atMs: this.#monotonic() });
    }
  }

  #isFresh(id: string): boolean {
    const { atMs = Number.NEGATIVE_INFINITY } = this.#seen.get(id) ?? {};
    return this.#monotonic() - atMs < (this.#options.freshMs ?? FRESH_MS);
  }

  /** At a start nothing has been seen for long enough: what the other's clock says has to do. */
  #isLately(beat: Beat | undefined): boolean {
    if (beat === undefined || beat.leaving === true) return false;
    return this.#clock() - Date.parse(beat.beatAt) < (this.#options.freshMs ?? FRESH_MS);
  }

  #setBehind(message: string | null): void {
    if (message !== null && message !== this.#behind) this.#options.onProblem(message);
    this.#behind = message;
  }

  #replacing(by: string): BulwarkError {
    return behind(
      `the replica ${by} is replacing the root: when it is done, copy its folder \`ca\` here (without records.sqlite) and start again`,
    );
  }

  #otherRoots({ roots, replicas }: Register): BulwarkError {
    const { place, store } = this.#options;
    const others = Object.keys(replicas).filter((id) => id !== place);
    const whose = others.length === 0 ? "another replica" : others.join(", ");
    return behind(
      `this CA has other roots than those in force (${roots.map((id) => id.slice(0, 16)).join(", ")}, see ${store.name}): copy the folder \`ca\` of ${whose} here ` +
        "(without records.sqlite); or, if this CA is to be the only one from now on, stop the others and remove ca/records.id",
    );
  }

  /** One after the other in this process, and against the other replicas by compare-and-set. */
  #change(update: (now: Register) => Register): Promise<void> {
    const changed = this.#changing.then(() => this.#changeNow(update));
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #changeNow(update: (now: Register) => Register): Promise<void> {
    const { store } = this.#options;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { text, version } = await store.read(NAME);
      const next = JSON.stringify(update(parseRegister(text, store.name)));
      if (next === text || (await store.compareAndSet(NAME, version, next))) return;
    }
    throw new BulwarkError("BW_CA_STORE_BUSY", `${store.name}: too many replicas write at once; try again`);
  }
}

function behind(message: string): BulwarkError {
  return new BulwarkError("BW_CA_REPLICA_BEHIND", message);
}

function refused(replicas: readonly (readonly [string, Beat])[], what: string): BulwarkError {
  const names = replicas.map(([id, { beatAt }]) => `${id} (last heard of ${beatAt})`).join(", ");
  return new BulwarkError(
    "BW_CA_REPLICAS",
    `the root is replaced by one replica alone, which has its key, and others share this CA's records: ${names}: ${what}; afterwards copy the folder \`ca\` there (without records.sqlite)`,
  );
}

function isSameSet(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one) => others.includes(one));
}
