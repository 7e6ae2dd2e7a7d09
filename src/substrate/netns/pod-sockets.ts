import type { Socket } from "node:net";
import { MESH_MARK } from "./ambient-capture.ts";
import { dialInside, listenInside, udpInside } from "./sockets-inside.ts";

/** A pod, as far as its sockets go. */
export interface PodNamespace {
  /** As `ip netns list` has it. */
  readonly netns: string;
}

const SETTINGS = { mark: MESH_MARK };

/** Sockets of the node's ztunnel inside of its pods' networks: marked, so that the pods' capture rules let them be. Needs root. */
export const podSockets = {
  /** @returns a file descriptor. @throws an error where the namespace or the port is not to be had. */
  listen: ({ netns }: PodNamespace, host: string, port: number): number =>
    listenInside(netns, host, port, SETTINGS),
  /** The same for UDP; port 0: any. */
  listenUdp: ({ netns }: PodNamespace, host: string, port: number): number =>
    udpInside(netns, host, port, SETTINGS),
  /** @returns a socket that is connecting. `localAddress` may be another's: see `dialInside`. */
  dial: (
    { netns }: PodNamespace,
    where: { readonly host: string; readonly port: number; readonly localAddress?: string },
  ): Socket => dialInside(netns, where, SETTINGS),
} as const;
