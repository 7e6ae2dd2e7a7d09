import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { listFiles } from "./list-files.ts";

export interface WatchOptions {
  /** Ends the watch, as calling what `watchResources` returned does. */
  readonly signal?: AbortSignal;
  /** Changes that come closer together are one (an editor's save is several events). */
  readonly debounceMs?: number;
}

const DEBOUNCE_MS = 50;
/** A file that is written without pause must not put the change off for ever. */
const LONGEST_DELAY_MS = 200;
/** Without the system's notices, how often to look. */
const POLL_MS = 200;
/** With them, how often to look for what they cannot tell: targets of symbolic links, network file systems. */
const SAFETY_POLL_MS = 2000;

/**
 * Calls `onChange` soon after any manifest in `paths` (files and folders, as for `loadResources`) has been written, made,
 * renamed over, removed, or swapped by a symbolic link as Kubernetes does with mounted ConfigMaps. The caller loads: a file
 * that was half written then gives errors, and its next change another call. Nothing that happens to the files ends the
 * watch. `onChange` must not throw.
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
  #fingerprint: string | undefined;
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
    const fingerprint = await fingerprintOf(this.#paths);
    if (this.#stopped) return;
    const changed = this.#certain || (this.#fingerprint !== undefined && this.#fingerprint !== fingerprint);
    this.#certain = false;
    this.#fingerprint = fingerprint;
    if (changed) this.#onChange();
    // Large trees take long to look at: looking takes a twentieth of the time at most.
    const costMs = performance.now() - startedAt;
    clearTimeout(this.#pollTimer);
    const pauseMs = Math.max(complete ? SAFETY_POLL_MS : POLL_MS, 20 * costMs);
    this.#pollTimer = setTimeout(() => void this.#look(), pauseMs);
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

/** Which files there are, and which version of each; problems of reading are part of it. */
async function fingerprintOf(paths: readonly string[]): Promise<string> {
  const parts: string[] = [];
  const files = await listFiles(paths, (problem) => parts.push(problem.message));
  for (const file of files) {
    const version = await stat(file, { bigint: true }).then(
      ({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
      () => "gone",
    );
    parts.push(`${file} ${version}`);
  }
  return parts.join("\n");
}
