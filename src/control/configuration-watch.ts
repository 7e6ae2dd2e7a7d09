import type { Diagnostic } from "../resources/diagnostic.ts";
import { warn } from "./child-life.ts";
import type { ConfigurationKeeper } from "./configuration-keeper.ts";
import { loadConfiguration } from "./load-configuration.ts";
import type { ControlEvent } from "./messages.ts";

export interface ConfigurationWatchOptions {
  readonly sources: readonly string[];
  readonly keeper: ConfigurationKeeper;
  readonly onAccepted: () => void;
  readonly onEvent: (event: ControlEvent) => void;
}

/** Follows the files: a saved change is taken when all of it is valid, and told with all its errors when not. */
export class ConfigurationWatch {
  readonly #options: ConfigurationWatchOptions;
  #stop: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #again = false;

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
  }

  async #begin(): Promise<void> {
    const { watchResources } = await import("../resources/watch.ts");
    this.#stop = watchResources(this.#options.sources, () => this.#reload());
    // What was saved while no control plane ran.
    this.#reload();
  }

  #reload(): void {
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
      const loaded = await loadConfiguration(sources);
      if (loaded.ok && keeper.isCurrent(loaded.resources)) {
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
      const message = error instanceof Error ? error.message : String(error);
      warn(`the change could not be taken: ${message}`);
    }
  }

  #announce(warnings: readonly Diagnostic[]): void {
    const { current } = this.#options.keeper;
    if (current === undefined) return;
    const { version, resources, assignments } = current;
    this.#options.onEvent({ kind: "assignments", assignments });
    this.#options.onEvent({ kind: "configuration-accepted", version, resources: resources.length, warnings });
  }
}
