/** Where the substrate has put things: the only link between names of the model and addresses on this machine. */

export interface PodPlacement {
  /** `app-a-0`: unique in its namespace. */
  readonly name: string;
  /** `namespace/name` of the workload. */
  readonly workload: string;
  /** From 0. */
  readonly replica: number;
  /** The address that stands for the pod's IP. */
  readonly address: string;
  /** Its IPv6 address, where the substrate gives one. */
  readonly address6?: string;
}

/** A stand-in for a host outside of the mesh, so that everything works offline. */
export interface StandIn {
  /** A ServiceEntry's host; may be a wildcard (`*.ibm.com`). */
  readonly host: string;
  readonly address: string;
  readonly address6?: string;
}

/** What a substrate gives a service whose resource names no address: clients learn it by DNS and dial it. */
export interface VirtualAddress {
  /** As the mesh's service has it. */
  readonly hostname: string;
  readonly address: string;
  readonly address6?: string;
}

export interface Placement {
  readonly pods: readonly PodPlacement[];
  readonly standIns: readonly StandIn[];
  /**
   * Added to ports below 1024 where the process may not bind them: model ports stay what the resources say, only the
   * sockets move. 0 where no right is missing.
   */
  readonly privilegedPortOffset: number;
  /** Only where traffic is captured by its address. */
  readonly virtualAddresses?: readonly VirtualAddress[];
}

export const OUTBOUND_PROXY_PORT = 15001;

/** All that something is reached by, IPv4 first. */
export function addressesOf(placed: {
  readonly address: string;
  readonly address6?: string;
}): readonly string[] {
  return placed.address6 === undefined ? [placed.address] : [placed.address, placed.address6];
}

/** The port to bind or dial on this machine for a port of the model. */
export function socketPort(placement: Placement, port: number): number {
  return port < 1024 ? port + placement.privilegedPortOffset : port;
}
