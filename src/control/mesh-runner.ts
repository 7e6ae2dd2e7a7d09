import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { readPrivateFile, writePrivateFile } from "../identity/key-store.ts";
import type { BulwarkError } from "../resources/bulwark-error.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import { type Assignments, podKey, sessionHolders, tokenHolders } from "../substrate/assignment.ts";
import { openStandInAuthority } from "../substrate/stand-in-authority.ts";
import { AppliedVersions } from "./applied-versions.ts";
import { isProxy, MeshChildren, proxyName } from "./child-specs.ts";
import type { CurrentConfiguration } from "./configuration-keeper.ts";
import { ControlLink, connectAdmin } from "./control-link.ts";
import { CONTROL_REFUSED_EXIT, forgetRefusal, takeRefusal } from "./control-refusal.ts";
import { followFlows } from "./follow-flows.ts";
import type { ListeningPart } from "./listening-parts.ts";
import type { LoadedConfiguration } from "./load-configuration.ts";
import { LogFollower } from "./log-follower.ts";
import type { ControlEvent, StatusReport } from "./messages.ts";
import { notesInNamespaces } from "./netns/acted-on.ts";
import { shareCompiledCode } from "./netns/compiled-code.ts";
import { PodNetwork } from "./netns/pod-network.ts";
import { storedMesh } from "./netns/stored-mesh.ts";
import { identifyProcess } from "./process-identity.ts";
import type { CutOff } from "./revocation/messages.ts";
import type { RpcPeer } from "./rpc.ts";
import { type RunBook, removeRunBook, writeRunBook } from "./run-book.ts";
import type { MeshRunnerOptions, RunningMesh } from "./running-mesh.ts";
import { StartGate } from "./start-gate.ts";
import { removeSocketFolder, type StateFolder } from "./state-folder.ts";
import { type ChildSpec, Supervisor } from "./supervisor.ts";
import { TokenFiles } from "./token-files.ts";

const BOOK_RETRY_MS = 1000;
/** A proxy that starts waits now and then for control. */
const STARTING_PER_PROCESSOR = 2;
const START_PATIENCE_MS = 3000;

/** The processes of one mesh, as they follow the assignments. */
export class MeshRunner implements RunningMesh {
  readonly ok = true;
  readonly state: StateFolder;
  readonly configuration: CurrentConfiguration;
  readonly warnings: readonly Diagnostic[];
  readonly notActedOn: readonly Diagnostic[];
  readonly #options: MeshRunnerOptions;
  readonly #release: () => void;
  readonly #supervisor: Supervisor;
  readonly #children: MeshChildren;
  /** Proxies only: everything else is one process of its kind. */
  readonly #gate: StartGate<ChildSpec>;
  readonly #network: PodNetwork | undefined;
  readonly #logs: LogFollower;
  readonly #applied = new AppliedVersions();
  /** By process, for which configuration what it serves listens. */
  readonly #listening = new AppliedVersions();
  #tokens: TokenFiles | undefined;
  /** Identities for which the CA issues nothing: nobody waits for their pods. */
  readonly #blocked = new Set<string>();
  #link: ControlLink | undefined;
  #onProgress: (() => void) | undefined;
  #controlWasUp = false;
  /** Why the control plane will not start. */
  #refusal: BulwarkError | undefined;
  #changing: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #bookRetry: NodeJS.Timeout | undefined;

  constructor(
    state: StateFolder,
    release: () => void,
    options: MeshRunnerOptions,
    configuration: CurrentConfiguration,
    { warnings, notActedOn }: LoadedConfiguration,
  ) {
    this.state = state;
    this.configuration = configuration;
    const isInNamespaces = options.substrate === "netns";
    this.warnings = isInNamespaces ? notesInNamespaces(warnings) : warnings;
    this.notActedOn = isInNamespaces ? notesInNamespaces(notActedOn) : notActedOn;
    this.#release = release;
    this.#options = options;
    this.#network = options.substrate === "netns" ? new PodNetwork(state) : undefined;
    this.#children = new MeshChildren(state, {
      ...options,
      ...(this.#network === undefined ? {} : { network: this.#network }),
    });
    this.#gate = new StartGate({
      width: STARTING_PER_PROCESSOR * availableParallelism(),
      patienceMs: START_PATIENCE_MS,
      start: (spec) => this.#supervisor.start(spec),
    });
    this.#logs = new LogFollower((name, line) => options.onEvent({ kind: "output", name, line }));
    const startedAt = new Date().toISOString();
    const supervisor = identifyProcess(process.pid) ?? { pid: process.pid, startTime: "" };
    this.#supervisor = new Supervisor({
      onEvent: (event) => {
        if (event.kind !== "started") this.#gate.leave(event.name);
        if (event.kind === "gave-up") this.#refuse();
        options.onEvent({ kind: "process", event });
      },
      // In a mesh that works control is tried again whatever it dies of: the proxies go on meanwhile.
      isFinal: (name, code) => name === "control" && code === CONTROL_REFUSED_EXIT && !this.#controlWasUp,
      onChange: (children) => this.#book({ supervisor, startedAt, children, sources: options.sources }),
    });
  }

  async start(): Promise<void> {
    const { state, configuration } = this;
    if (readPrivateFile(state.adminToken) === undefined)
      writePrivateFile(state.adminToken, `${randomBytes(32).toString("base64url")}\n`);
    // Made here so that proxies find it at their first hello.
    openStandInAuthority(state.standInFolder);
    forgetRefusal(state);
    if (this.#network !== undefined)
      await Promise.all([
        this.#network.apply(configuration.assignments, configuration.mesh),
        shareCompiledCode(this.#options.program),
      ]);
    this.#tokens = await TokenFiles.open(
      state,
      (message) => this.#options.onEvent({ kind: "warning", message }),
      (pod) => this.#network?.deliverToken(pod),
    );
    await this.#tokens.apply(tokenHolders(configuration.assignments));
    this.#follow(configuration.assignments);
    this.#link = new ControlLink({
      connect: () => this.#connect(),
      onDown: (why) => this.#onDown(why),
    });
    if (this.#options.showFlows) void this.#showFlows(this.#link);
  }

  async untilReady(timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      const missing = this.#notReady().join(", ");
      reject(new Error(`not ready, and nothing became ready for ${timeoutMs / 1000} s: ${missing}`));
    }, timeoutMs);
    let fewest = this.#notReady().length;
    this.#onProgress = () => {
      const left = this.#notReady().length;
      if (left < fewest) timer.refresh();
      fewest = Math.min(fewest, left);
      // Who stops before all is ready must not be kept alive by this wait.
      if (this.#refusal !== undefined) reject(this.#refusal);
      else if (this.#stopping !== undefined || left === 0) resolve();
    };
    this.#onProgress();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#onProgress = undefined;
    }
  }

  async status(): Promise<StatusReport> {
    const peer = await connectAdmin(this.state);
    try {
      return (await peer.request("status", {}, 10_000)) as StatusReport;
    } finally {
      peer.close();
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    this.#onProgress?.();
    return this.#stopping;
  }

  kill(): void {
    this.#gate.close();
    this.#supervisor.killAll();
    this.#leave();
  }

  async #end(): Promise<void> {
    this.#tokens?.close();
    this.#link?.close();
    await this.#changing;
    this.#gate.close();
    await this.#supervisor.stopAll();
    this.#logs.close();
    await this.#removeNetwork();
    this.#leave();
  }

  /** What is left is found, and removed, by the next start. */
  async #removeNetwork(): Promise<void> {
    try {
      await this.#network?.remove();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#options.onEvent({ kind: "warning", message });
    }
  }

  /** Nothing runs any more: whoever comes next finds no trace of it. */
  #leave(): void {
    clearTimeout(this.#bookRetry);
    removeRunBook(this.state);
    removeSocketFolder(this.state);
    this.#release();
  }

  /** A full disk must not end the supervisor, of all processes: the book is written once there is room. */
  #book(book: RunBook): void {
    const isFirstFailure = this.#bookRetry === undefined;
    clearTimeout(this.#bookRetry);
    this.#bookRetry = undefined;
    try {
      writeRunBook(this.state, book);
      this.#network?.book(book);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (isFirstFailure)
        this.#options.onEvent({
          kind: "warning",
          message: `the list of this mesh's processes is not up to date, \`bulwark down\` would miss some: ${why}`,
        });
      this.#bookRetry = setTimeout(() => this.#book(book), BOOK_RETRY_MS);
    }
  }

  async #connect(): Promise<RpcPeer> {
    const peer = await connectAdmin(this.state, { event: (event) => this.#tell(event as ControlEvent) });
    this.#controlWasUp = true;
    const assignments = (await peer.request("subscribe", {}, 10_000)) as Assignments | null;
    if (assignments !== null) this.#change(assignments);
    for (const cutOff of (await peer.request("ca.cutoffs", {}, 10_000)) as readonly CutOff[])
      this.#cutOff(cutOff);
    const status = (await peer.request("status", {}, 10_000)) as StatusReport;
    const ztunnels = status.ztunnels.map(({ ztunnel, ...rest }) => ({ ...rest, pod: ztunnel }));
    for (const { pod, configurationVersion } of [...status.pods, ...ztunnels]) {
      this.#applied.note(pod, configurationVersion);
      if (configurationVersion > 0) this.#gate.leave(proxyName(pod));
    }
    for (const { part, listeningVersion } of status.parts) this.#listening.note(part, listeningVersion);
    this.#onProgress?.();
    return peer;
  }

  #refuse(): void {
    this.#refusal = takeRefusal(this.state);
    this.#onProgress?.();
  }

  #onDown(why: string): void {
    // At the start control simply is not there yet.
    if (!this.#applied.isEmpty) this.#options.onEvent({ kind: "control-away", why });
  }

  #tell(event: ControlEvent): void {
    if (event.kind === "assignments") this.#change(event.assignments);
    if (event.kind === "identity-cut-off") this.#cutOff(event);
    if (event.kind === "identity-restored") this.#restore(event.identity);
    if (event.kind === "proxy-applied") {
      this.#applied.note(event.pod, event.version);
      this.#gate.leave(proxyName(event.pod));
    }
    if (event.kind === "part-listening") this.#listening.note(event.part, event.version);
    this.#options.onEvent(event);
    this.#onProgress?.();
  }

  /** One change after the other: a pod that goes and comes back must be gone before it comes. */
  #change(assignments: Assignments): void {
    this.#changing = this.#changing.then(async () => {
      if (this.#stopping !== undefined) return;
      try {
        await this.#stopUnwanted(assignments);
        await this.#network?.apply(assignments, storedMesh(this.state));
        await this.#tokens?.apply(tokenHolders(assignments));
        this.#follow(assignments);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.onEvent({ kind: "warning", message: `pods could not be changed: ${message}` });
      }
    });
  }

  #cutOff({ identity, beforeMs, blocked }: CutOff): void {
    this.#tokens?.cutOff(identity, beforeMs).catch((error: Error) => {
      const message = `no new tokens for ${identity}: ${error.message}`;
      this.#options.onEvent({ kind: "warning", message });
    });
    if (!blocked || this.#blocked.has(identity)) return;
    this.#blocked.add(identity);
    const pods = this.configuration.assignments.pods
      .filter(({ spiffeId }) => spiffeId === identity)
      .map(podKey);
    const message = `${identity} is blocked: ${pods.join(", ")} will have no certificate until \`bulwark ca unblock ${identity}\``;
    this.#options.onEvent({ kind: "warning", message });
    for (const pod of pods) this.#gate.leave(proxyName(pod));
  }

  /** In the order of changes: a token must not be written for a pod that is being replaced. */
  #restore(identity: string): void {
    this.#blocked.delete(identity);
    this.#changing = this.#changing.then(async () => {
      try {
        await this.#tokens?.restore(identity);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.onEvent({ kind: "warning", message: `no new tokens for ${identity}: ${message}` });
      }
    });
  }

  #follow(assignments: Assignments): void {
    for (const spec of this.#children.specs(assignments)) {
      this.#logs.follow(spec.name, spec.logFile);
      if (isProxy(spec) && !this.#supervisor.has(spec.name)) this.#gate.enter(spec);
      else this.#supervisor.start(spec);
    }
  }

  async #stopUnwanted(assignments: Assignments): Promise<void> {
    const wanted = new Map(this.#children.specs(assignments).map((spec) => [spec.name, spec]));
    const unwanted = this.#supervisor.specs
      .filter(({ name, generation }) => !wanted.has(name) || wanted.get(name)?.generation !== generation)
      .map(({ name }) => name);
    this.#gate.keepOnly(new Set(wanted.keys()));
    await Promise.all(unwanted.map((name) => this.#supervisor.stop(name)));
    for (const name of unwanted) this.#logs.forget(name);
    this.#applied.keepOnly(new Set(sessionHolders(assignments).map(podKey)));
  }

  #notReady(): string[] {
    const proxies = sessionHolders(this.configuration.assignments)
      .filter(({ spiffeId }) => !this.#blocked.has(spiffeId))
      .map(podKey);
    const { version } = this.configuration;
    return [
      ...proxies.filter((pod) => this.#applied.of(pod) < version),
      ...this.#parts().filter((part) => this.#listening.of(part) < version),
    ];
  }

  /** Processes of ours without whose servers a call finds nobody. */
  #parts(): readonly ListeningPart[] {
    const { simulateExternal } = this.#options;
    return [
      "apps",
      ...(simulateExternal ? (["externals"] as const) : []),
      ...(this.#network === undefined ? [] : (["network"] as const)),
    ];
  }

  async #showFlows(link: ControlLink): Promise<void> {
    const stopped = () => this.#stopping !== undefined;
    await followFlows(
      (method, params) => link.request(method, params, 30_000),
      [],
      stopped,
      (flows) => this.#options.onEvent({ kind: "flows", records: flows.map(({ record }) => record) }),
    );
  }
}
