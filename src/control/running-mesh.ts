import type { FlowRecord } from "../model/flow-record.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import type { SubstrateName } from "../substrate/substrate.ts";
import type { CaSettings } from "./ca-settings.ts";
import type { ChildProgram } from "./child-specs.ts";
import type { CurrentConfiguration } from "./configuration-keeper.ts";
import type { IdentityInterfaceChoice } from "./identity-interfaces.ts";
import type { ControlEvent, StatusReport } from "./messages.ts";
import type { RevocationChoice } from "./revocation/revocation-control.ts";
import type { StateFolder } from "./state-folder.ts";
import type { SupervisorEvent } from "./supervisor.ts";

export interface MeshRunnerOptions {
  readonly statePath: string;
  readonly sources: readonly string[];
  /** 0: 24 h. */
  readonly certTtlSeconds: number;
  readonly simulateExternal: boolean;
  /** Default `loopback`. Whether this machine can do `netns` must have been asked. */
  readonly substrate?: SubstrateName;
  /** See ControlProcessOptions. */
  readonly keys?: { readonly refreshMs?: number; readonly allow?: readonly string[] };
  /** See ControlProcessOptions. */
  readonly interfaces?: IdentityInterfaceChoice;
  /** See ControlProcessOptions. */
  readonly store?: string;
  /** See ControlProcessOptions. */
  readonly revocation?: RevocationChoice;
  /** The CA's own keys; default: made, and kept in files. */
  readonly ca?: CaSettings;
  /** By workload (`namespace/name`): a shell command that replaces the built-in echo. */
  readonly applications: ReadonlyMap<string, string>;
  readonly program: ChildProgram;
  /** Whether `flows` events are wanted. */
  readonly showFlows: boolean;
  readonly onEvent: (event: RunnerEvent) => void;
}

/** As it is asked for: where pods are network namespaces, hosts outside are played unless that is declined, since nothing else leads to them. */
export type MeshOptions = Omit<MeshRunnerOptions, "simulateExternal"> &
  Partial<Pick<MeshRunnerOptions, "simulateExternal">>;

export type RunnerEvent =
  | ControlEvent
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "process"; readonly event: SupervisorEvent }
  | { readonly kind: "output"; readonly name: string; readonly line: string }
  | { readonly kind: "leftovers"; readonly names: readonly string[] }
  | { readonly kind: "flows"; readonly records: readonly FlowRecord[] }
  | { readonly kind: "control-away"; readonly why: string };

/** Files that cannot be a mesh: nothing was started. */
export interface NotStarted {
  readonly ok: false;
  readonly errors: readonly Diagnostic[];
  readonly warnings: readonly Diagnostic[];
}

/** A mesh that this process supervises. */
export interface RunningMesh {
  readonly ok: true;
  readonly state: StateFolder;
  readonly configuration: CurrentConfiguration;
  readonly warnings: readonly Diagnostic[];
  /** What was read and has no effect. */
  readonly notActedOn: readonly Diagnostic[];
  /** Settles when every proxy has its certificate and its configuration and all of the mesh's own servers listen (built-in applications, stand-ins, DNS), or the mesh is being stopped; rejects when nothing more has become ready for that long (many workloads take minutes on a slow machine), or with why the control plane cannot start. */
  untilReady(timeoutMs: number): Promise<void>;
  status(): Promise<StatusReport>;
  /** Stops everything in order. Nothing of the mesh runs, and no socket is there, when it settles. */
  stop(): Promise<void>;
  /** Ends everything at once, without asking it, also in the midst of `stop`. */
  kill(): void;
}
