/** Which chain of a waypoint takes what comes out of an HBONE tunnel. */
import type { FilterChain, FirstBytes } from "../filter-chain.ts";
import type { ChainProtocol } from "../port-protocol.ts";
import { NO_CHAIN } from "../verdict-catalogue.ts";

/** The ports by which one address is served. */
export interface WaypointChains {
  /** A service's own ports, by which clients dial it. */
  readonly ports: ReadonlyMap<number, ChainProtocol>;
  /** What takes every other port: of a workload's own address any is taken, of a service's none. */
  readonly otherPorts: ChainProtocol | null;
}

function chain(protocol: FilterChain["protocol"], refusal: FilterChain["refusal"] = null): FilterChain {
  // HBONE is mutual TLS, always; what is inside is no TLS of the mesh's.
  return Object.freeze({ tls: "terminate", protocol, inspectsTls: true, refusal });
}

const HTTP = chain("http");
const TCP = chain("tcp");
const NONE = chain("tcp", NO_CHAIN);

/** How a port is taken; null where none of that number is. */
export function waypointProtocol({ ports, otherPorts }: WaypointChains, port: number): ChainProtocol | null {
  return ports.get(port) ?? otherPorts;
}

/** Allocates nothing. @param first `speaksHttp` is about the bytes inside the tunnel. */
export function waypointChain(chains: WaypointChains, port: number, first: FirstBytes): FilterChain {
  const protocol = waypointProtocol(chains, port);
  if (protocol === null) return NONE;
  return protocol === "http" || (protocol === "auto" && first.speaksHttp) ? HTTP : TCP;
}
