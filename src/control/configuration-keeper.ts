import { writePrivateFile } from "../identity/key-store.ts";
import { buildMesh } from "../model/build-mesh.ts";
import type { Mesh } from "../model/mesh.ts";
import { withFederation } from "../model/mesh-config.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import type { Resource } from "../resources/resource.ts";
import { fromWire, toWire, type WireResource } from "../resources/wire.ts";
import { type Assignments, NO_ASSIGNMENTS, toPlacement } from "../substrate/assignment.ts";
import type { StockGateway } from "../substrate/stock-gateways.ts";
import type { Substrate } from "../substrate/substrate.ts";
import { recordChange } from "./change-journal.ts";
import { warn } from "./child-life.ts";
import { type ConfigurationChange, configurationChange } from "./configuration-change.ts";
import type { InvalidConfiguration, LoadedConfiguration } from "./load-configuration.ts";
import type { ConfigurationPush, RefusedChange } from "./messages.ts";
import { readJson, type StateFolder } from "./state-folder.ts";

interface StoredConfiguration {
  readonly version: number;
  readonly loadedAt: string;
  readonly resources: readonly WireResource[];
  readonly stockGateways: readonly StockGateway[];
  readonly lastChange?: ConfigurationChange | null;
}

/** The configuration in force. */
export interface CurrentConfiguration {
  readonly version: number;
  readonly loadedAt: string;
  readonly resources: readonly Resource[];
  readonly mesh: Mesh;
  readonly assignments: Assignments;
  readonly stockGateways: readonly StockGateway[];
  /** What made it of the one before; null for the first. */
  readonly lastChange: ConfigurationChange | null;
}

/**
 * Keeps the last good configuration, in memory and in the state folder, and the addresses given for it. A change is taken
 * whole or not at all, and only once it is on the disk: a control plane that restarts can only go on with what was in force.
 */
export class ConfigurationKeeper {
  readonly #state: StateFolder;
  readonly #substrate: Substrate;
  readonly #federated: readonly string[];
  #current: CurrentConfiguration | undefined;
  #refused: RefusedChange | null = null;

  /** @param federated trust domains that the mesh is federated with: no file of the configuration names them. */
  constructor(state: StateFolder, substrate: Substrate, federated: readonly string[] = []) {
    this.#state = state;
    this.#federated = federated;
    this.#substrate = substrate;
    this.#current = this.#restore();
  }

  get current(): CurrentConfiguration | undefined {
    return this.#current;
  }

  /** The newest change, where it is not in force. */
  get refused(): RefusedChange | null {
    return this.#refused;
  }

  /**
   * Takes what was loaded.
   * @returns the errors that keep it out, or none: then `current` is it.
   * @throws {BulwarkError} BW_SUBSTRATE_NO_ADDRESS, or those of writing files; the configuration before stays in force.
   */
  async offer(loaded: LoadedConfiguration | InvalidConfiguration): Promise<readonly Diagnostic[]> {
    const errors = loaded.ok ? this.#unacceptable(loaded) : loaded.errors;
    if (!loaded.ok || errors.length > 0) {
      this.refuse(errors);
      return errors;
    }
    const version = (this.#current?.version ?? 0) + 1;
    const assigned = await this.#substrate.assign(loaded.mesh, this.#assignments());
    const assignments = { ...assigned, version };
    const loadedAt = new Date().toISOString();
    const { resources, stockGateways } = loaded;
    const mesh = this.#inFederation(loaded.mesh);
    const before = this.#current;
    // A mesh that is started again with the same files has not changed.
    const isOther = before !== undefined && !this.isCurrent(resources);
    const change = isOther ? configurationChange(before, loaded, { at: loadedAt, version }) : null;
    const lastChange = change ?? before?.lastChange ?? null;
    const next = { version, loadedAt, resources, mesh, assignments, stockGateways, lastChange };
    this.#store(next);
    this.#current = next;
    this.#refused = null;
    if (change !== null) this.#journal(change);
    return [];
  }

  /** Notes why the newest change is not in force. */
  refuse(errors: readonly Diagnostic[]): void {
    this.#refused = { at: new Date().toISOString(), errors };
  }

  /** Says that the files are, again, what is in force. */
  withdrawRefusal(): void {
    this.#refused = null;
  }

  /** Whether these resources are those in force already. */
  isCurrent(resources: readonly Resource[]): boolean {
    return this.#current !== undefined && fingerprint(resources) === fingerprint(this.#current.resources);
  }

  /** The same resources, read again: what was stored does not know at which lines they stand. */
  adopt(resources: readonly Resource[]): void {
    if (this.#current !== undefined) this.#current = { ...this.#current, resources };
  }

  /** What proxies are sent. */
  push(): ConfigurationPush | undefined {
    if (this.#current === undefined) return undefined;
    const { version, resources, assignments } = this.#current;
    return { version, resources: toWire(resources), placement: toPlacement(assignments) };
  }

  /** What the running CA cannot follow. */
  #unacceptable(loaded: LoadedConfiguration): readonly Diagnostic[] {
    const before = this.#current?.mesh.config.trustDomain;
    const { trustDomain } = loaded.mesh.config;
    if (before === undefined || before === trustDomain) return [];
    return [
      {
        code: "BW0902_TRUST_DOMAIN_CHANGED",
        severity: "error",
        message: `the mesh's trust domain cannot change from \`${before}\` to \`${trustDomain}\` while it runs: every certificate names it`,
        help: "stop the mesh and start it with another --state folder",
      },
    ];
  }

  #assignments(): Assignments {
    return this.#current?.assignments ?? readAssignments(this.#state);
  }

  #store(next: CurrentConfiguration): void {
    const { version, loadedAt, resources, assignments, stockGateways, lastChange } = next;
    // Addresses first: a configuration without its addresses could not be served, addresses alone harm nothing.
    writePrivateFile(this.#state.assignments, JSON.stringify(assignments));
    const stored: StoredConfiguration = {
      version,
      loadedAt,
      resources: toWire(resources),
      stockGateways,
      lastChange,
    };
    writePrivateFile(this.#state.configuration, JSON.stringify(stored));
  }

  /** A journal that cannot be written is no reason to refuse a change that was kept. */
  #journal(change: ConfigurationChange): void {
    try {
      recordChange(this.#state, change);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      warn(
        `the change to configuration ${change.version} is in force, but not in the journal of changes: ${why}`,
      );
    }
  }

  #inFederation(mesh: Mesh): Mesh {
    return { ...mesh, config: withFederation(mesh.config, this.#federated) };
  }

  #restore(): CurrentConfiguration | undefined {
    const stored = readJson(this.#state.configuration) as StoredConfiguration | undefined;
    if (stored === undefined) return undefined;
    try {
      const { version, loadedAt, stockGateways, lastChange = null } = stored;
      const resources = fromWire(stored.resources);
      const mesh = this.#inFederation(buildMesh(resources));
      const assignments = readAssignments(this.#state);
      return { version, loadedAt, resources, mesh, assignments, stockGateways, lastChange };
    } catch {
      // Of another release, or not ours: the files are read again, which is what a first start does.
      return undefined;
    }
  }
}

/** The addresses given at the last time; none in a new state folder. */
export function readAssignments(state: StateFolder): Assignments {
  return (readJson(state.assignments) as Assignments | undefined) ?? NO_ASSIGNMENTS;
}

/** Order counts: it is the resources' age. */
function fingerprint(resources: readonly Resource[]): string {
  return JSON.stringify(resources.map(({ body }) => body));
}
