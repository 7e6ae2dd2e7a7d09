/** What a substrate gives to a mesh: the public placement, and what only a pod's own processes are told. */
import type { AppProtocol } from "../model/mesh.ts";
import type { Placement, PodPlacement, StandIn, VirtualAddress } from "../model/placement.ts";
import type { TrafficCapture } from "../model/traffic-capture.ts";

/** Where the application's port is reached behind its sidecar, or, without one, where it listens itself. */
export interface ApplicationPort {
  /** The container's port. */
  readonly port: number;
  readonly host: string;
  readonly socketPort: number;
  readonly protocol: AppProtocol;
}

/** What an ambient pod's annotations leave to be captured. Outbound TCP always is. */
export interface AmbientCapture {
  /** TCP that comes in clear; HBONE comes to ztunnel whatever this says. */
  readonly inbound: boolean;
  readonly dns: boolean;
}

/** The network namespace that is a pod's own. */
export interface PodNetwork {
  /** As `ip netns list` has it. */
  readonly namespace: string;
  /** The pod's number in its mesh: its addresses, its link and its users follow from it. */
  readonly slot: number;
  /** The pod's end of the link is `eth0`; this is the other one, outside. */
  readonly link: string;
  /** Uid and gid on the machine of the pod's root; its user n is this plus n. */
  readonly firstUid: number;
  /** The node that the pod is on. Nodes are modelled: all of them are this machine. */
  readonly node: string;
  /** What of its traffic comes to its sidecar; absent: nothing, as at a gateway or waypoint, or in a pod without sidecar. */
  readonly interception?: TrafficCapture;
  /** In an ambient pod: what of its traffic comes to its node's ztunnel. */
  readonly ambient?: AmbientCapture;
  /** Whether the firewall outside lets its TCP out of the mesh. */
  readonly mayLeave: boolean;
  /** The user, in the pod, that its application runs as. */
  readonly applicationUid: number;
}

export interface PodAssignment extends PodPlacement {
  readonly namespace: string;
  /** Tells this pod from another of the same name, as Kubernetes' does: tokens are bound to it. */
  readonly uid: string;
  readonly serviceAccount: string;
  readonly spiffeId: string;
  readonly role: "application" | "gateway" | "waypoint";
  /** Whether it has a proxy process of its own: a sidecar, or it is a gateway or waypoint. */
  readonly proxied: boolean;
  /** Its node's ztunnel stands before it: no process of its own, and no key of its identity inside of it. */
  readonly ambient?: true;
  /** The password of the outbound proxy; empty without one. Never part of a placement. */
  readonly outboundSecret: string;
  readonly applicationPorts: readonly ApplicationPort[];
  /** Where pods are network namespaces. */
  readonly network?: PodNetwork;
}

/** Who has a session with control, by a token that is bound to it. */
export type SessionHolder = Pick<
  PodAssignment,
  "namespace" | "name" | "uid" | "serviceAccount" | "spiffeId" | "workload"
> & { readonly address?: string };

/** The ztunnel of a node: stands before all ambient pods of the node, and of no other. */
export interface ZtunnelAssignment extends SessionHolder {
  readonly node: string;
}

export interface StandInAssignment extends StandIn {
  readonly ports: readonly { readonly port: number; readonly protocol: AppProtocol }[];
}

/** A workload that the substrate does not run, and why. */
export interface SkippedWorkload {
  readonly workload: string;
  readonly kind: string;
  readonly why: string;
}

export interface Assignments {
  /** Of the configuration that they are for; absent where nobody numbered it. */
  readonly version?: number;
  readonly pods: readonly PodAssignment[];
  readonly standIns: readonly StandInAssignment[];
  readonly skipped: readonly SkippedWorkload[];
  readonly privilegedPortOffset: number;
  /** Absent: `loopback`. */
  readonly substrate?: "netns";
  readonly virtualAddresses?: readonly VirtualAddress[];
  /** One for each node that has ambient pods; only where pods are network namespaces. */
  readonly ztunnels?: readonly ZtunnelAssignment[];
}

export const NO_ASSIGNMENTS: Assignments = { pods: [], standIns: [], skipped: [], privilegedPortOffset: 0 };

/** `namespace/name` of a pod: what it is called everywhere. */
export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}

/** Everybody that has a session with control: pods with a proxy of their own, and ztunnels. */
export function sessionHolders({ pods, ztunnels = [] }: Assignments): readonly SessionHolder[] {
  return [...pods.filter(({ proxied }) => proxied), ...ztunnels];
}

/**
 * Everybody for whom a token is kept. That of an ambient pod is shown to nobody but the CA, beside its ztunnel's: it stands for the pod's being sound.
 */
export function tokenHolders({ pods, ztunnels = [] }: Assignments): readonly SessionHolder[] {
  return [...pods.filter(({ proxied, ambient }) => proxied || ambient === true), ...ztunnels];
}

/** The ambient pods that a ztunnel stands before. */
export function podsOfZtunnel(
  { node }: Pick<ZtunnelAssignment, "node">,
  pods: readonly PodAssignment[],
): readonly PodAssignment[] {
  return pods.filter(({ ambient, network }) => ambient === true && network?.node === node);
}

/** The part of the assignments that every proxy may know. */
export function toPlacement(assignments: Assignments): Placement {
  return {
    pods: assignments.pods.map(toPodPlacement),
    standIns: assignments.standIns.map(({ host, address, address6 }) => ({
      host,
      address,
      ...(address6 === undefined ? {} : { address6 }),
    })),
    privilegedPortOffset: assignments.privilegedPortOffset,
    ...(assignments.virtualAddresses === undefined ? {} : { virtualAddresses: assignments.virtualAddresses }),
  };
}

/** What everybody may know of a pod. */
export function toPodPlacement({ name, workload, replica, address, address6 }: PodAssignment): PodPlacement {
  return { name, workload, replica, address, ...(address6 === undefined ? {} : { address6 }) };
}
