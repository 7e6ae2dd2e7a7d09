import { type SessionHolder, toPlacement } from "../../substrate/assignment.ts";
import type { CurrentConfiguration } from "../configuration-keeper.ts";
import type { ControlEvent, KeyText } from "../messages.ts";
import { fetchKeys } from "./fetch-keys.ts";
import { JwksKeeper, type JwksStatus } from "./jwks-keeper.ts";
import type { KeyAccess } from "./key-access.ts";
import { type KnownHosts, locateHost } from "./locate-host.ts";
import { type NeededSources, neededSources } from "./needed-sources.ts";

export interface JwksServiceOptions {
  readonly file: string;
  readonly refreshMs: number;
  readonly access: KeyAccess;
  readonly simulateExternal: boolean;
  readonly standInCaPem: () => string | null;
  readonly configuration: () => CurrentConfiguration | undefined;
  /** Told which source has other keys than before. */
  readonly onChanged: (id: string) => void;
  readonly onEvent: (event: ControlEvent) => void;
}

/** The keys of the issuers that the configuration in force trusts: who needs which, and what there is of them. */
export class JwksService {
  readonly #options: JwksServiceOptions;
  readonly #keeper: JwksKeeper;
  #needed: NeededSources = new Map();
  #hosts: KnownHosts | undefined;

  constructor(options: JwksServiceOptions) {
    this.#options = options;
    const { file, refreshMs, access, standInCaPem, onChanged, onEvent } = options;
    this.#keeper = new JwksKeeper({
      file,
      refreshMs,
      fetch: (source) =>
        fetchKeys(source, { access, standInCaPem, locate: (url) => locateHost(url, this.#hosts) }),
      onChanged,
      onHealth: ({ url, error, keyIds }) => onEvent({ kind: "issuer-keys", url, error, keyIds }),
    });
    this.configurationChanged();
  }

  configurationChanged(): void {
    const current = this.#options.configuration();
    if (current === undefined) return;
    const { mesh, assignments } = current;
    this.#hosts = { mesh, placement: toPlacement(assignments), simulated: this.#options.simulateExternal };
    const proxied = assignments.pods.filter((pod) => pod.proxied).map(({ workload }) => workload);
    this.#needed = neededSources(mesh, new Set(proxied));
    this.#keeper.setSources([...this.#needed.values()].flat());
  }

  /** All that a pod's proxy needs. */
  keysFor({ workload }: SessionHolder): readonly KeyText[] {
    const ids = new Set(this.#needed.get(workload)?.map(({ id }) => id));
    return [...ids].map((id) => ({ id, text: this.#keeper.documentOf(id) }));
  }

  /** Fetches before its time on behalf of a pod's proxy, within limits. @returns null where it has no business with that source. */
  async refetch(pod: SessionHolder, id: string): Promise<KeyText | null> {
    if (!this.keysFor(pod).some((key) => key.id === id)) return null;
    await this.#keeper.refetch(id);
    return { id, text: this.#keeper.documentOf(id) };
  }

  report(): readonly JwksStatus[] {
    return this.#keeper.report();
  }

  close(): void {
    this.#keeper.close();
  }
}
