import { randomBytes, randomUUID } from "node:crypto";
import type { Mesh, Workload } from "../../model/mesh.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type Assignments, type PodAssignment, type PodNetwork, podKey } from "../assignment.ts";
import type { Substrate } from "../substrate.ts";
import { type WantedPod, wantedPods } from "../wanted-pods.ts";
import { workloadPorts } from "../workload-ports.ts";
import { firstUidOf, freeSlot, meshTag, podAddresses, UIDS_OF_A_POD } from "./addresses.ts";
import { ambientCaptureOf } from "./ambient-capture.ts";
import { interceptionOf } from "./interception.ts";
import { leavingWorkloads } from "./may-leave.ts";
import { namespaceOf } from "./names.ts";
import { NodeChooser, podSpec } from "./nodes.ts";
import { serviceAddresses } from "./service-addresses.ts";
import { placeStandIns } from "./stand-ins.ts";
import { placeZtunnels } from "./ztunnels.ts";

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
  const { wanted, skipped } = wantedPods(mesh, { ambient: true });
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
    standIns: options.simulateExternal ? placeStandIns(mesh, previous) : [],
    skipped,
    // Each pod is root in its namespace as far as ports go.
    privilegedPortOffset: 0,
    virtualAddresses: serviceAddresses(mesh),
    ztunnels: placeZtunnels(mesh, pods, previous),
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
  const { role, dataplane, annotations } = workload;
  const interception =
    role === "application" && dataplane === "sidecar" ? interceptionOf(annotations) : undefined;
  return {
    namespace: namespaceOf(tag, String(slot)),
    slot,
    link: `pod${slot}`,
    firstUid: firstUidOf(tag, slot),
    applicationUid: applicationUid(workload),
    ...(interception === undefined ? {} : { interception }),
    ...(isAmbient(workload) ? { ambient: ambientCaptureOf(annotations) } : {}),
  };
}

function isAmbient({ role, dataplane }: Workload): boolean {
  return role === "application" && dataplane === "ambient";
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
  // No proxy is injected into a waypoint's pods: they are one.
  const proxied = workload.role === "waypoint" || workload.dataplane === "sidecar";
  const { address, address6 } = podAddresses(network.slot);
  const ports = workload.role === "application" ? workloadPorts(mesh, workload) : [];
  return {
    name,
    workload: workload.key,
    replica,
    address,
    address6,
    namespace: workload.namespace,
    // Under another account, or with a sidecar more or less, it is another pod: a token of the one before must not work for it.
    uid:
      previous?.spiffeId === workload.spiffeId && previous.proxied === proxied ? previous.uid : randomUUID(),
    serviceAccount: workload.serviceAccount,
    spiffeId: workload.spiffeId,
    role: workload.role,
    proxied,
    ...(isAmbient(workload) ? { ambient: true as const } : {}),
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
