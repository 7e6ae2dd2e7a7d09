import type { Diagnostic } from "../resources/diagnostic.ts";
import type { ReadFiles } from "../resources/read-files.ts";
import type { ConfigurationKeeper } from "./configuration-keeper.ts";
import { emptiedFiles } from "./emptied-files.ts";
import {
  type InvalidConfiguration,
  type LoadedConfiguration,
  loadConfiguration,
} from "./load-configuration.ts";
import type { ControlEvent } from "./messages.ts";

export interface ConfigurationWatchOptions {
  readonly sources: readonly string[];
  readonly keeper: ConfigurationKeeper;
  readonly onAccepted: () => void;
  readonly onEvent: (event: ControlEvent) => void;
}

/** A valid change that could not be stored (a full disk) is offered again so often. */
const RETRY_MS = 1000;

/** Files that changed while they were read are read again after so long, and so often at most. */
const UNREST_PAUSE_MS = 100;
const MAX_UNRESTFUL_LOADS = 20;

/** Follows the files: a saved change is taken when all of it is valid, and told with all its errors when not. */
export class ConfigurationWatch {
  readonly #options: ConfigurationWatchOptions;
  #stop: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #known: ReadFiles | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ConfigurationWatchOptions) {
    this.#options = options;
  }

  start(): void {
    // Watching, and the loader with its schemas, are not needed to serve: they come after the first proxies.
    setTimeout(() => void this.#begin(), 0);
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    clearTimeout(this.#retry);
  }

  async #begin(): Promise<void> {
    const { watchResources } = await import("../resources/watch.ts");
    this.#stop = watchResources(this.#options.sources, () => this.#reload());
    // What was saved while no control plane ran.
    this.#reload();
  }

  #reload(): void {
    clearTimeout(this.#retry);
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#load().finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.#reload();
    });
  }

  async #load(): Promise<void> {
    const { sources, keeper, onAccepted, onEvent } = this.#options;
    try {
      const loaded = await this.#loadAtRest(sources);
      if (loaded.ok && keeper.isCurrent(loaded.resources)) {
        keeper.adopt(loaded.resources);
        const version = keeper.current?.version ?? 0;
        if (keeper.refused !== null) onEvent({ kind: "configuration-restored", version });
        keeper.withdrawRefusal();
        return;
      }
      const errors = await keeper.offer(loaded);
      if (errors.length > 0) return onEvent({ kind: "configuration-refused", errors });
      onAccepted();
      this.#announce(loaded.warnings);
    } catch (error) {
      this.#notTaken(error instanceof Error ? error.message : String(error));
    }
  }

  /** Reads until nothing has changed while it read: half of one save and half of the next are no mesh that anybody wrote. */
  async #loadAtRest(sources: readonly string[]): Promise<LoadedConfiguration | InvalidConfiguration> {
    const [{ fileVersionsOf, isSameVersions }, { ReadFiles }] = await Promise.all([
      import("../resources/file-versions.ts"),
      import("../resources/read-files.ts"),
    ]);
    this.#known ??= new ReadFiles();
    for (let loads = 1; ; loads++) {
      const before = await fileVersionsOf(sources);
      const loaded = await loadConfiguration(sources, this.#known);
      if (isSameVersions(before, await fileVersionsOf(sources)) || loads === MAX_UNRESTFUL_LOADS)
        return this.#refuseEmptied(loaded);
      await new Promise((resolve) => setTimeout(resolve, UNREST_PAUSE_MS));
    }
  }

  #refuseEmptied(loaded: LoadedConfiguration | InvalidConfiguration): typeof loaded {
    const current = this.#options.keeper.current?.resources ?? [];
    const [first, ...others] = emptiedFiles(current, loaded.blankFiles);
    if (first === undefined) return loaded;
    const { warnings, blankFiles } = loaded;
    const invalid = loaded.ok ? [] : loaded.errors;
    return { ok: false, errors: [first, ...others, ...invalid], warnings, blankFiles };
  }

  /** Not the files' fault: told as any refusal, once, and offered again until it can be taken. */
  #notTaken(why: string): void {
    const { keeper, onEvent } = this.#options;
    const message = `the change could not be taken, and is tried again every second: ${why}`;
    const errors: readonly Diagnostic[] = [{ code: "BW0903_CHANGE_NOT_TAKEN", severity: "error", message }];
    const isTold = keeper.refused?.errors[0]?.message === message;
    keeper.refuse(errors);
    if (!isTold) onEvent({ kind: "configuration-refused", errors });
    this.#retry = setTimeout(() => this.#reload(), RETRY_MS);
    this.#retry.unref();
  }

  #announce(warnings: readonly Diagnostic[]): void {
    const { current } = this.#options.keeper;
    if (current === undefined) return;
    const { version, resources, assignments, lastChange: change } = current;
    this.#options.onEvent({ kind: "assignments", assignments });
    this.#options.onEvent({
      kind: "configuration-accepted",
      version,
      resources: resources.length,
      warnings,
      change,
    });
  }
}
