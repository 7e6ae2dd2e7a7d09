import type { Socket } from "node:net";
import type { PodPlacement } from "../../model/placement.ts";
import type { OriginalDestination } from "../capture/original-destination.ts";

/** A pod that a ztunnel stands before. */
export interface ZtunnelPod extends PodPlacement {
  /** Kubernetes' namespace. */
  readonly namespace: string;
  /** Another one is another pod, whatever its name. */
  readonly uid: string;
  /** Whom it runs as: with its scheme. */
  readonly spiffeId: string;
  /** Its network namespace, as `ip netns list` has it. */
  readonly netns: string;
}

/**
 * Sockets inside of the pods' networks, marked so that the pods' capture rules let them be. Whatever may fail throws; what goes wrong on the network is the
 * socket's own error.
 */
export interface PodSockets {
  /** @param host `0.0.0.0`, `::` (both families), or a loopback address. @returns the file descriptor of a socket that listens. */
  listen(pod: ZtunnelPod, host: string, port: number): number;
  /** @param port 0: any. @returns the file descriptor of a UDP socket that is bound. Absent: the pods' DNS is not served. */
  listenUdp?(pod: ZtunnelPod, host: string, port: number): number;
  /** @param where.localAddress the client's, of what is for the application. @returns a socket that is connecting. */
  dial(
    pod: ZtunnelPod,
    where: { readonly host: string; readonly port: number; readonly localAddress?: string },
  ): Socket;
  /** Where a captured connection was going; absent: asked of the kernel. */
  originalDestination?(pod: ZtunnelPod, socket: Socket): OriginalDestination | undefined;
}
