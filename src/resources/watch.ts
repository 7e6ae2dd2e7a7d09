import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type FileVersions, fileVersionsOf, hasShrunk, isSameVersions } from "./file-versions.ts";

export interface WatchOptions {
  /** Ends the watch, as calling what `watchResources` returned does. */
  readonly signal?: AbortSignal;
  /** Changes that come closer together are one (an editor's save is several events). */
  readonly debounceMs?: number;
}

const DEBOUNCE_MS = 50;
/** So long files must have stayed as they are before their change is told: a save can be several writes. */
const SETTLE_MS = 60;
/**
 * The same where a file has become shorter, empty, or has gone: an editor that truncates and then writes, or a copy over a
 * slow line, passes through that. What is cut off can be a valid mesh without its last policies.
 */
const SETTLE_SHRUNK_MS = 400;
/** A file that is written without pause must not put the change off for ever. */
const LONGEST_UNREST_MS = 3000;
/** Nor put off looking at all. */
const LONGEST_DELAY_MS = 200;
/** Without the system's notices, how often to look. */
const POLL_MS = 200;
/** With them, how often to look for what they cannot tell: targets of symbolic links, network file systems. */
const SAFETY_POLL_MS = 2000;

/**
 * Calls `onChange` soon after any manifest in `paths` (files and folders, as for `loadResources`) has been written, made,
 * renamed over, removed, or swapped by a symbolic link as Kubernetes does with mounted ConfigMaps, and is at rest again: some
 * 110 ms after the last write, 450 ms where a file became shorter or went. Nothing that happens to the files ends the watch.
 * `onChange` must not throw.
 * @returns ends the watch.
 */
export function watchResources(
  paths: readonly string[],
  onChange: () => void,
  options: WatchOptions = {},
): () => void {
  const watching = new Watching(paths, onChange, options.debounceMs ?? DEBOUNCE_MS);
  const stop = (): void => watching.stop();
  if (options.signal?.aborted === true) return stop;
  options.signal?.addEventListener("abort", stop, { once: true });
  watching.start();
  return () => {
    options.signal?.removeEventListener("abort", stop);
    stop();
  };
}

class Watching {
  readonly #paths: readonly string[];
  readonly #onChange: () => void;
  readonly #debounceMs: number;
  readonly #watchers = new Map<string, FSWatcher>();
  #stopped = false;
  /** What the caller knows of. */
  #told: FileVersions | undefined;
  /** What has changed since, and since when it is as it is. */
  #unrest: Unrest | undefined;
  #pollTimer: NodeJS.Timeout | undefined;
  #changeTimer: NodeJS.Timeout | undefined;
  #firstEventAt = 0;
  /** A notice named a manifest: a change even where size and time look the same. */
  #certain = false;

  constructor(paths: readonly string[], onChange: () => void, debounceMs: number) {
    this.#paths = paths;
    this.#onChange = onChange;
    this.#debounceMs = debounceMs;
  }

  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#changeTimer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** Compares what is there with what was there, and looks again later. */
  async #look(): Promise<void> {
    clearTimeout(this.#pollTimer);
    const complete = await this.#arm();
    const startedAt = performance.now();
    const versions = await fileVersionsOf(this.#paths);
    if (this.#stopped) return;
    const restInMs = this.#untilRest(versions);
    if (restInMs === 0) this.#onChange();
    // Large trees take long to look at: looking takes a twentieth of the time at most.
    const costMs = performance.now() - startedAt;
    clearTimeout(this.#pollTimer);
    const pauseMs = Math.max(complete ? SAFETY_POLL_MS : POLL_MS, 20 * costMs);
    const waiting = restInMs !== undefined && restInMs > 0;
    this.#pollTimer = setTimeout(() => void this.#look(), waiting ? Math.max(restInMs, costMs) : pauseMs);
  }

  /** @returns 0 when a change is to be told now, else in how many milliseconds at the earliest; undefined without a change. */
  #untilRest(versions: FileVersions): number | undefined {
    const told = this.#told;
    const certain = this.#certain;
    this.#certain = false;
    this.#told ??= versions;
    if (told === undefined) return certain ? 0 : undefined;
    const before = this.#unrest;
    if (before === undefined && !certain && isSameVersions(told, versions)) return undefined;
    const now = performance.now();
    const isStill = before !== undefined && !certain && isSameVersions(before.versions, versions);
    const unrest = { versions, firstAt: before?.firstAt ?? now, lastAt: isStill ? before.lastAt : now };
    const settleMs = hasShrunk(told, versions) ? SETTLE_SHRUNK_MS : SETTLE_MS;
    const restAt = Math.min(unrest.lastAt + settleMs, unrest.firstAt + LONGEST_UNREST_MS);
    this.#unrest = restAt > now ? unrest : undefined;
    if (restAt > now) return restAt - now;
    this.#told = versions;
    return 0;
  }

  /** @returns whether the system tells of changes in all paths. */
  async #arm(): Promise<boolean> {
    const wanted = new Map<string, () => FSWatcher>();
    let complete = true;
    for (const path of this.#paths) {
      const target = await targetOf(path);
      if (target === undefined) complete = false;
      else wanted.set(target.key, () => this.#watch(target));
    }
    if (this.#stopped) return false;
    for (const [key, watcher] of this.#watchers) {
      if (wanted.has(key)) continue;
      watcher.close();
      this.#watchers.delete(key);
    }
    for (const [key, open] of wanted) {
      if (this.#watchers.has(key)) continue;
      try {
        this.#watchers.set(key, open());
      } catch {
        complete = false;
      }
    }
    return complete;
  }

  #watch({ key, folder, file }: Target): FSWatcher {
    const watcher = watch(folder, { recursive: file === undefined }, (_, name) => this.#noticed(name, file));
    watcher.on("error", () => {
      watcher.close();
      if (this.#watchers.get(key) === watcher) this.#watchers.delete(key);
      this.#noticed(null, file);
    });
    return watcher;
  }

  #noticed(name: string | null, file: string | undefined): void {
    if (this.#stopped) return;
    const changed = name === null ? "" : basename(name);
    if (
      file === undefined ? /\.(ya?ml|json)$/i.test(changed) && !changed.startsWith(".") : changed === file
    ) {
      this.#certain = true;
    }
    const now = performance.now();
    if (this.#changeTimer === undefined) this.#firstEventAt = now;
    clearTimeout(this.#changeTimer);
    const latest = this.#firstEventAt + LONGEST_DELAY_MS - now;
    this.#changeTimer = setTimeout(
      () => {
        this.#changeTimer = undefined;
        void this.#look();
      },
      Math.max(0, Math.min(this.#debounceMs, latest)),
    );
  }
}

interface Unrest {
  readonly versions: FileVersions;
  /** Milliseconds of `performance.now()`: of the first change, and of the last. */
  readonly firstAt: number;
  readonly lastAt: number;
}

interface Target {
  /** Names the folder as it is now: one that was removed and made again is another. */
  readonly key: string;
  readonly folder: string;
  /** The one file in it that counts; all where none is named. */
  readonly file?: string;
}

/** Editors and Kubernetes replace files: their folder sees it, while a watch of the file itself would be lost. */
async function targetOf(path: string): Promise<Target | undefined> {
  try {
    const info = await stat(path).catch(() => undefined);
    if (info?.isDirectory() === true) return { key: `${path} ${info.ino}`, folder: path };
    const folder = dirname(path);
    const file = basename(path);
    return { key: `${folder} ${(await stat(folder)).ino} ${file}`, folder, file };
  } catch {
    return undefined;
  }
}
