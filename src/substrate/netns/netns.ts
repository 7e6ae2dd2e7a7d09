import { randomBytes, randomUUID } from "node:crypto";
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { VirtualAddress } from "../../model/placement.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import {
  type Assignments,
  type PodAssignment,
  type PodNetwork,
  podKey,
  type StandInAssignment,
} from "../assignment.ts";
import { externalHosts } from "../external-hosts.ts";
import type { Substrate } from "../substrate.ts";
import { type WantedPod, wantedPods } from "../wanted-pods.ts";
import { workloadPorts } from "../workload-ports.ts";
import {
  firstUidOf,
  freeSlot,
  meshTag,
  podAddresses,
  standInAddresses,
  UIDS_OF_A_POD,
  virtualAddresses,
} from "./addresses.ts";
import { interceptionOf } from "./interception.ts";
import { leavingWorkloads } from "./may-leave.ts";
import { namespaceOf } from "./names.ts";
import { NodeChooser, podSpec } from "./nodes.ts";

export interface NetnsOptions {
  /** What tells this mesh from others on the machine. */
  readonly meshId: string;
  /** Stand-ins for every external host of a ServiceEntry. */
  readonly simulateExternal: boolean;
}

const SECRET_BYTES = 24;

/** Each pod a network namespace of its own, with its own users, and nothing of the machine's network in reach. */
export function netnsSubstrate(options: NetnsOptions): Substrate {
  return {
    name: "netns",
    cannotEnforce: [
      "pods share the machine's kernel and see its processes and its readable files: a namespace is no virtual machine",
    ],
    assign: async (mesh, previous) => assign(mesh, previous, options),
  };
}

function assign(mesh: Mesh, previous: Assignments, options: NetnsOptions): Assignments {
  const kept = new Map(previous.pods.filter(hasNetwork).map((pod) => [podKey(pod), pod]));
  const { wanted, skipped } = wantedPods(mesh);
  const keys = new Set(wanted.map(keyOf));
  // A slot is not given anew in the change that frees it: the namespace of before may still be there.
  const taken = new Set([...kept.values()].map(({ network }) => network.slot));
  const tag = meshTag(options.meshId);
  const nodes = new NodeChooser(mesh);
  const mayLeave = leavingWorkloads(mesh);
  const pods = wanted.map((pod) => {
    const known = keys.has(keyOf(pod)) ? kept.get(keyOf(pod)) : undefined;
    const slot = known?.network.slot ?? takeSlot(taken);
    return assignPod(mesh, pod, known, {
      ...networkOf(pod, tag, slot),
      node: nodes.choose(pod.workload),
      mayLeave: mayLeave(pod.workload),
    });
  });
  return {
    substrate: "netns",
    pods,
    standIns: options.simulateExternal ? standIns(mesh, previous) : [],
    skipped,
    // Each pod is root in its namespace as far as ports go.
    privilegedPortOffset: 0,
    virtualAddresses: serviceAddresses(mesh),
  };
}

type NetworkedPod = PodAssignment & { readonly network: PodNetwork };

function hasNetwork(pod: PodAssignment): pod is NetworkedPod {
  return pod.network !== undefined;
}

function keyOf({ workload, name }: WantedPod): string {
  return podKey({ namespace: workload.namespace, name });
}

function takeSlot(taken: Set<number>): number {
  const slot = freeSlot(taken);
  if (slot === undefined) throw new BulwarkError("BW_SUBSTRATE_NO_ADDRESS", "no pod address is free");
  taken.add(slot);
  return slot;
}

function networkOf(
  { workload }: WantedPod,
  tag: string,
  slot: number,
): Omit<PodNetwork, "node" | "mayLeave"> {
  const isCaptured = workload.dataplane !== "none" && workload.role !== "gateway";
  const interception = isCaptured ? interceptionOf(workload.annotations) : undefined;
  return {
    namespace: namespaceOf(tag, String(slot)),
    slot,
    link: `pod${slot}`,
    firstUid: firstUidOf(tag, slot),
    applicationUid: applicationUid(workload),
    ...(interception === undefined ? {} : { interception }),
  };
}

const DEFAULT_UID = 1000;

/** As its SecurityContext says, the container's before the pod's. */
function applicationUid(workload: Workload): number {
  const spec = podSpec(workload) as {
    readonly securityContext?: { readonly runAsUser?: unknown } | null;
    readonly containers?: readonly { readonly securityContext?: { readonly runAsUser?: unknown } | null }[];
  };
  const own = spec.containers?.[0]?.securityContext?.runAsUser ?? spec.securityContext?.runAsUser;
  return typeof own === "number" && Number.isInteger(own) && own >= 0 && own < UIDS_OF_A_POD
    ? own
    : DEFAULT_UID;
}

function assignPod(
  mesh: Mesh,
  { workload, name, replica }: WantedPod,
  previous: NetworkedPod | undefined,
  network: PodNetwork,
): PodAssignment {
  const proxied = workload.dataplane !== "none";
  const { address, address6 } = podAddresses(network.slot);
  const ports = workload.role === "gateway" ? [] : workloadPorts(mesh, workload);
  return {
    name,
    workload: workload.key,
    replica,
    address,
    address6,
    namespace: workload.namespace,
    // Another account is another pod: a token of the one before must not work for it.
    uid: previous?.spiffeId === workload.spiffeId ? previous.uid : randomUUID(),
    serviceAccount: workload.serviceAccount,
    spiffeId: workload.spiffeId,
    role: workload.role === "gateway" ? "gateway" : "application",
    proxied,
    outboundSecret: proxied
      ? previous?.outboundSecret || randomBytes(SECRET_BYTES).toString("base64url")
      : "",
    applicationPorts: ports.map(({ port, protocol }) => ({
      port,
      host: address,
      socketPort: port,
      protocol,
    })),
    network,
  };
}

function standIns(mesh: Mesh, previous: Assignments): StandInAssignment[] {
  const kept = new Map(
    previous.standIns
      .filter(({ address6 }) => address6 !== undefined)
      .map((standIn) => [standIn.host, standIn]),
  );
  const hosts = externalHosts(mesh);
  const taken = new Set([...kept.values()].map(({ address }) => address));
  let number = 0;
  return [...hosts].map(([host, ports]) => {
    const known = kept.get(host);
    if (known !== undefined) return { ...known, ports };
    let pair = standInAddresses(number);
    while (taken.has(pair.address)) {
      number += 1;
      pair = standInAddresses(number);
    }
    taken.add(pair.address);
    return { host, ...pair, ports };
  });
}

/** For every service that clients dial by an address and that has none: not for headless ones, patterns, and other names. */
function serviceAddresses(mesh: Mesh): VirtualAddress[] {
  const taken = new Set<string>();
  const given = new Map<string, VirtualAddress>();
  for (const { hostname, origin, addresses, headless, externalName, resolution } of mesh.services) {
    // With resolution NONE clients dial the host's own address.
    const dialled =
      addresses.length === 0 && !headless && externalName === undefined && resolution !== "none";
    if (!dialled || hostname.startsWith("*") || given.has(hostname)) continue;
    let attempt = 0;
    let pair = virtualAddresses(hostname, origin, attempt);
    while (taken.has(pair.address)) {
      attempt += 1;
      pair = virtualAddresses(hostname, origin, attempt);
    }
    taken.add(pair.address);
    given.set(hostname, { hostname, ...pair });
  }
  return [...given.values()];
}
