import { writePrivateFile } from "../../identity/key-store.ts";
import type { KeySource } from "../../policy/jwt/key-source.ts";
import { readJson } from "../state-folder.ts";
import { type KeyDocument, readKeyDocument } from "./key-document.ts";

export interface JwksKeeperOptions {
  /** @throws {BulwarkError} whose message says why there are no keys. */
  readonly fetch: (source: KeySource) => Promise<KeyDocument>;
  /** Where the last good keys outlive this process. */
  readonly file: string;
  /** Between two fetches that went well. */
  readonly refreshMs: number;
  readonly onChanged: (id: string) => void;
  /** When a source begins to fail, and when it is well again. */
  readonly onHealth: (status: JwksStatus) => void;
}

/** One source of keys, for `status`. */
export interface JwksStatus {
  /** The URL that is asked first. */
  readonly url: string;
  readonly kind: KeySource["kind"];
  /** When the keys in use were fetched; null: never, so every token that needs them is refused. */
  readonly fetchedAt: string | null;
  readonly keyIds: readonly string[];
  /** Why the newest fetch failed; null where it went well, or is under way for the first time. */
  readonly error: string | null;
}

/** Istio's default (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL). */
export const DEFAULT_REFRESH_MS = 20 * 60_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Between two fetches that tokens with unknown key names may cause: anybody can send those. */
const COOL_DOWN_MS = 30_000;
/** So that a mesh with many issuers does not ask all of them at the same moment. */
const MAX_CONCURRENT = 16;

interface Entry {
  source: KeySource;
  document: KeyDocument | undefined;
  fetchedAtMs: number;
  /** When the newest fetch began; on the monotonic clock. */
  startedAtMs: number;
  error: string | null;
  failures: number;
  underway: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
}

interface StoredKeys {
  readonly [id: string]: { readonly text: string; readonly fetchedAtMs: number };
}

/**
 * The keys of every issuer that the mesh trusts, fetched once for all proxies. What was good stays in use until something as good
 * replaces it, over failures and restarts.
 */
export class JwksKeeper {
  readonly #options: JwksKeeperOptions;
  readonly #entries = new Map<string, Entry>();
  #stored: StoredKeys;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #closed = false;

  constructor(options: JwksKeeperOptions) {
    this.#options = options;
    this.#stored = (readJson(options.file) as StoredKeys | undefined) ?? {};
  }

  /** Which sources the mesh has now: new ones are fetched at once, those that are gone are forgotten. */
  setSources(sources: Iterable<KeySource>): void {
    const wanted = new Map<string, KeySource>();
    for (const source of sources) {
      // Rules that share a source can differ in their patience.
      const before = wanted.get(source.id);
      if (before === undefined || before.timeoutMs < source.timeoutMs) wanted.set(source.id, source);
    }
    for (const [id, entry] of this.#entries) {
      if (wanted.has(id)) continue;
      clearTimeout(entry.timer);
      this.#entries.delete(id);
    }
    for (const [id, source] of wanted) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) entry.source = source;
      else this.#add(source);
    }
  }

  /** JWKS text; null while there has never been one. */
  documentOf(id: string): string | null {
    return this.#entries.get(id)?.document?.text ?? null;
  }

  /** Fetches before its time, unless that was done a short while ago. Settles when there is nothing to wait for; never rejects. */
  async refetch(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const coolDownMs = Math.min(COOL_DOWN_MS, this.#options.refreshMs);
    if (entry.underway === undefined && performance.now() - entry.startedAtMs >= coolDownMs)
      this.#start(entry);
    await entry.underway;
  }

  report(): readonly JwksStatus[] {
    return [...this.#entries.values()].map(statusOf);
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
  }

  #add(source: KeySource): void {
    const { document, fetchedAtMs } = this.#restore(source.id);
    const entry: Entry = {
      source,
      document,
      fetchedAtMs,
      startedAtMs: 0,
      error: null,
      failures: 0,
      underway: undefined,
      timer: undefined,
    };
    this.#entries.set(source.id, entry);
    this.#start(entry);
  }

  #restore(id: string): { document: KeyDocument | undefined; fetchedAtMs: number } {
    const stored = Object.hasOwn(this.#stored, id) ? this.#stored[id] : undefined;
    try {
      if (stored !== undefined)
        return { document: readKeyDocument(stored.text), fetchedAtMs: Number(stored.fetchedAtMs) };
    } catch {
      // Damaged, or of another release: they are fetched anyway.
    }
    return { document: undefined, fetchedAtMs: 0 };
  }

  #start(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.startedAtMs = performance.now();
    entry.underway = this.#fetch(entry).finally(() => {
      entry.underway = undefined;
    });
  }

  async #fetch(entry: Entry): Promise<void> {
    const { source } = entry;
    await this.#turn();
    try {
      const document = await this.#options.fetch(source);
      if (this.#isCurrent(entry)) this.#succeeded(entry, document);
    } catch (error) {
      if (this.#isCurrent(entry)) this.#failed(entry, error instanceof Error ? error.message : String(error));
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= MAX_CONCURRENT) await new Promise<void>((go) => this.#waiting.push(go));
    this.#running += 1;
  }

  #isCurrent(entry: Entry): boolean {
    return !this.#closed && this.#entries.get(entry.source.id) === entry;
  }

  #succeeded(entry: Entry, document: KeyDocument): void {
    const { refreshMs, onChanged, onHealth } = this.#options;
    const isNew = entry.document?.text !== document.text;
    const wasIll = entry.error !== null;
    Object.assign(entry, { document, fetchedAtMs: Date.now(), error: null, failures: 0 });
    this.#schedule(entry, refreshMs);
    this.#store();
    if (isNew) onChanged(entry.source.id);
    if (isNew || wasIll) onHealth(statusOf(entry));
  }

  #failed(entry: Entry, why: string): void {
    const wasWell = entry.error === null;
    entry.error = why;
    entry.failures += 1;
    const backOffMs = FIRST_RETRY_MS * 2 ** Math.min(entry.failures - 1, 10);
    this.#schedule(entry, Math.min(backOffMs, MAX_RETRY_MS, this.#options.refreshMs));
    if (wasWell) this.#options.onHealth(statusOf(entry));
  }

  /** With a jitter of a twentieth, so that issuers that were added together drift apart. */
  #schedule(entry: Entry, delayMs: number): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#start(entry), delayMs * (1 + Math.random() / 20));
    entry.timer.unref();
  }

  #store(): void {
    const known = [...this.#entries].flatMap(([id, { document, fetchedAtMs }]) =>
      document === undefined ? [] : [[id, { text: document.text, fetchedAtMs }] as const],
    );
    this.#stored = Object.fromEntries(known);
    try {
      writePrivateFile(this.#options.file, JSON.stringify(this.#stored));
    } catch {
      // A full disk costs only what a restart would have kept; the flow log says that it is full.
    }
  }
}

function statusOf({ source, document, fetchedAtMs, error }: Entry): JwksStatus {
  const { url, kind } = source;
  return {
    url: withoutQuery(url),
    kind,
    fetchedAt: document === undefined ? null : new Date(fetchedAtMs).toISOString(),
    keyIds: document?.keyIds ?? [],
    error,
  };
}

/** Some providers take a secret there. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, "");
}
