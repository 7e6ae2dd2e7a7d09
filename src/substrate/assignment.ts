/** What a substrate gives to a mesh: the public placement, and what only a pod's own processes are told. */
import type { AppProtocol } from "../model/mesh.ts";
import type { Placement, PodPlacement, StandIn } from "../model/placement.ts";

/** Where the application's port is reached behind its sidecar, or, without one, where it listens itself. */
export interface ApplicationPort {
  /** The container's port. */
  readonly port: number;
  readonly host: string;
  readonly socketPort: number;
  readonly protocol: AppProtocol;
}

export interface PodAssignment extends PodPlacement {
  readonly namespace: string;
  /** Tells this pod from another of the same name, as Kubernetes' does: tokens are bound to it. */
  readonly uid: string;
  readonly serviceAccount: string;
  readonly spiffeId: string;
  readonly role: "application" | "gateway";
  /** Whether a proxy of ours stands before it. */
  readonly proxied: boolean;
  /** The password of the outbound proxy; empty without one. Never part of a placement. */
  readonly outboundSecret: string;
  readonly applicationPorts: readonly ApplicationPort[];
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
  readonly pods: readonly PodAssignment[];
  readonly standIns: readonly StandInAssignment[];
  readonly skipped: readonly SkippedWorkload[];
  readonly privilegedPortOffset: number;
}

export const NO_ASSIGNMENTS: Assignments = { pods: [], standIns: [], skipped: [], privilegedPortOffset: 0 };

/** `namespace/name` of a pod: what it is called everywhere. */
export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}

/** The part of the assignments that every proxy may know. */
export function toPlacement(assignments: Assignments): Placement {
  return {
    pods: assignments.pods.map(({ name, workload, replica, address }) => ({
      name,
      workload,
      replica,
      address,
    })),
    standIns: assignments.standIns.map(({ host, address }) => ({ host, address })),
    privilegedPortOffset: assignments.privilegedPortOffset,
  };
}
