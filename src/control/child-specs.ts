import { join } from "node:path";
import { COMPLIANCE_VARIABLE } from "../identity/tls-profile.ts";
import {
  type Assignments,
  type PodAssignment,
  podKey,
  type ZtunnelAssignment,
} from "../substrate/assignment.ts";
import { inPodPath } from "../substrate/netns/program-folder.ts";
import { type CaSettings, caEnvironment, caFlags } from "./ca-settings.ts";
import type { IdentityInterfaceChoice } from "./identity-interfaces.ts";
import { capturedEnvironment } from "./netns/captured-environment.ts";
import type { PodNetwork } from "./netns/pod-network.ts";
import type { RevocationChoice } from "./revocation/revocation-control.ts";
import type { StateFolder } from "./state-folder.ts";
import { storeEnvironment } from "./store-environment.ts";
import type { ChildSpec } from "./supervisor.ts";
import { workloadEnvironment } from "./workload-environment.ts";

/** How this program is started again: a command and its first arguments, before the name of the part to run. */
export interface ChildProgram {
  readonly command: string;
  readonly args: readonly string[];
  /** Besides what is kept of the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface MeshChildrenOptions {
  readonly sources: readonly string[];
  readonly certTtlSeconds: number;
  readonly simulateExternal: boolean;
  /** See ControlProcessOptions. */
  readonly keys?: { readonly refreshMs?: number; readonly allow?: readonly string[] };
  /** See ControlProcessOptions. */
  readonly interfaces?: IdentityInterfaceChoice;
  /** See ControlProcessOptions. */
  readonly store?: string;
  /** See ControlProcessOptions. */
  readonly revocation?: RevocationChoice;
  /** See MeshRunnerOptions. */
  readonly ca?: CaSettings;
  readonly applications: ReadonlyMap<string, string>;
  readonly program: ChildProgram;
  /** Where pods are network namespaces: how a process gets into one. */
  readonly network?: PodNetwork;
}

/** Proxies and ztunnels end first, while control still takes their last records; control ends last. */
const STOP_STAGES = { proxy: 0, ztunnel: 0, apps: 1, externals: 1, network: 1, control: 2 };

const PROXY_PREFIX = "proxy ";

/** What our own processes take over from the environment; proxy settings of the user's shell are not for them. */
const KEPT_VARIABLES = [
  "PATH",
  "HOME",
  "LANG",
  "TZ",
  "TMPDIR",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  COMPLIANCE_VARIABLE,
];

/** Which processes a mesh consists of. */
export class MeshChildren {
  readonly #state: StateFolder;
  readonly #options: MeshChildrenOptions;

  constructor(state: StateFolder, options: MeshChildrenOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Every process to run. */
  specs(assignments: Assignments): readonly ChildSpec[] {
    const { sources, certTtlSeconds, simulateExternal, applications, network } = this.#options;
    const flags = [
      ...(simulateExternal ? ["--simulate-external"] : []),
      ...(network === undefined ? [] : ["--substrate", "netns"]),
    ];
    const except = [...applications.keys()].flatMap((workload) => ["--except", workload]);
    return [
      this.#control([
        "--cert-ttl-seconds",
        String(certTtlSeconds),
        ...flags,
        ...keyFlags(this.#options),
        ...revocationFlags(this.#options),
        ...interfaceFlags(this.#options),
        ...caFlags(this.#options.ca),
        "--",
        ...sources,
      ]),
      ...assignments.pods
        .filter(({ proxied }) => proxied)
        .map((pod) => ({
          ...this.#proxy(pod),
          // A pod under another account is another process, with another identity.
          generation: pod.uid,
        })),
      ...(assignments.ztunnels ?? []).map((ztunnel) => this.#ztunnel(ztunnel)),
      this.#own("apps", "apps", except),
      ...(network === undefined ? [] : [beside("fabric", this.#own("network", "network", []), network)]),
      ...(simulateExternal ? [this.#externals()] : []),
      ...assignments.pods.flatMap((pod) => this.#application(pod)),
    ];
  }

  #control(args: readonly string[]): ChildSpec {
    const own = this.#own("control", "control", args);
    return { ...own, env: { ...own.env, ...caEnvironment(this.#options.ca) } };
  }

  #proxy(pod: PodAssignment): ChildSpec {
    const { network } = this.#options;
    const name = proxyName(podKey(pod));
    if (network === undefined) return this.#own(name, "proxy", ["--pod", podKey(pod)]);
    const own = this.#own(name, "proxy", ["--pod", podKey(pod)], network.proxyStatePath);
    const launch = network.launch(pod, "proxy", own.command, own.args);
    const env = Object.entries(own.env).map(([name, value]) => [name, inPodPath(value ?? "")]);
    return { ...own, ...launch, env: { ...Object.fromEntries(env), ...launch.env } };
  }

  /** The machine's root, as a real one is its node's: it enters the networks of its pods. */
  #ztunnel(ztunnel: ZtunnelAssignment): ChildSpec {
    const { network } = this.#options;
    const own = this.#own(`ztunnel ${ztunnel.node}`, "ztunnel", ["--pod", podKey(ztunnel)]);
    if (network === undefined) throw new Error("BUG: a ztunnel without network namespaces");
    const { command, args } = network.launchApart(own.command, own.args);
    return { ...own, command, args, generation: ztunnel.uid };
  }

  #externals(): ChildSpec {
    const { network } = this.#options;
    const own = this.#own("externals", "externals", []);
    return network === undefined ? own : beside("outside", own, network);
  }

  #own(
    name: string,
    part: "control" | "proxy" | "ztunnel" | "apps" | "externals" | "network",
    args: readonly string[],
    statePath = this.#state.root,
  ): ChildSpec {
    const { command, args: first, env = {} } = this.#options.program;
    const kept = KEPT_VARIABLES.map((variable) => [variable, process.env[variable]]);
    return {
      name,
      command,
      args: [...first, part, "--state", statePath, ...args],
      env: {
        ...Object.fromEntries(kept.filter(([, value]) => value !== undefined)),
        ...env,
        ...(part === "control" ? storeEnvironment(this.#options.store) : {}),
      },
      logFile: childLog(this.#state, name),
      stopStage: STOP_STAGES[part],
    };
  }

  #application(pod: PodAssignment): readonly ChildSpec[] {
    const command = this.#options.applications.get(pod.workload);
    if (command === undefined || pod.role !== "application") return [];
    const name = `app ${podKey(pod)}`;
    const { simulateExternal, interfaces, network } = this.#options;
    const hasWorkloadApi = interfaces?.workloadApi === true;
    const shell = { command: "/bin/sh", args: ["-c", command] };
    const launch = network?.launch(pod, "application", shell.command, shell.args) ?? { ...shell, env: {} };
    return [
      {
        name,
        generation: pod.uid,
        command: launch.command,
        args: launch.args,
        env: {
          ...process.env,
          ...(network === undefined
            ? workloadEnvironment(this.#state, pod, simulateExternal, hasWorkloadApi)
            : capturedEnvironment(pod, simulateExternal)),
          ...launch.env,
        },
        logFile: childLog(this.#state, name),
        stopStage: STOP_STAGES.apps,
      },
    ];
  }
}

/** The same process in a namespace that is no pod's. */
function beside(where: "fabric" | "outside", own: ChildSpec, network: PodNetwork): ChildSpec {
  const { command, args } = network.launchBeside(where, own.command, own.args);
  return { ...own, command, args };
}

function revocationFlags({ revocation: { maxAgeMs, http } = {} }: MeshChildrenOptions): string[] {
  const place = http === undefined ? "" : http.host.includes(":") ? `[${http.host}]` : http.host;
  return [
    ...(maxAgeMs === undefined ? [] : ["--revocation-max-age-ms", String(maxAgeMs)]),
    ...(http === undefined ? [] : ["--revocation-http", `${place}:${http.port}`]),
  ];
}

function keyFlags({ keys = {} }: MeshChildrenOptions): string[] {
  const refresh = keys.refreshMs === undefined ? [] : ["--jwks-refresh-ms", String(keys.refreshMs)];
  return [...refresh, ...(keys.allow ?? []).flatMap((place) => ["--jwks-allow", place])];
}

function interfaceFlags({ interfaces = {} }: MeshChildrenOptions): string[] {
  const { workloadApi, caAccess, bundleEndpoint, federate = [] } = interfaces;
  return [
    ...(workloadApi === true ? ["--workload-api"] : []),
    ...(caAccess === undefined ? [] : ["--ca-access", caAccess]),
    ...(bundleEndpoint === undefined ? [] : ["--bundle-endpoint", bundleEndpoint]),
    ...federate.flatMap((domain) => ["--federate", domain]),
  ];
}

/** @param pod `namespace/name` */
export function proxyName(pod: string): string {
  return `${PROXY_PREFIX}${pod}`;
}

/** Not a ztunnel: of those there are few. */
export function isProxy({ name }: ChildSpec): boolean {
  return name.startsWith(PROXY_PREFIX);
}

function childLog(state: StateFolder, name: string): string {
  return join(state.logFolder, `${name.replaceAll(/[^A-Za-z0-9._-]/g, "_")}.log`);
}
