/** Sets of protocols and ports, and the algebra of them. */
import {
  ALL_PORTS,
  formatPorts,
  hasPort,
  intersectPorts,
  NO_PORTS,
  type PortSet,
  subtractPorts,
  unionPorts,
} from "./port-set.ts";

export type NetworkProtocol = "TCP" | "UDP" | "SCTP";

/** In the order in which they are printed. */
export const NETWORK_PROTOCOLS: readonly NetworkProtocol[] = ["SCTP", "TCP", "UDP"];

/** Equal sets of one algebra are the same object. */
export interface ConnectionSet {
  readonly id: number;
  readonly ports: Readonly<Record<NetworkProtocol, PortSet>>;
  /** `All Connections`, or `TCP 80,8080-8090,UDP 53`; empty for none. */
  readonly text: string;
}

type Operation = (a: PortSet, b: PortSet) => PortSet;

/**
 * Makes each set once and keeps the results of operations: a mesh has few different sets, which meet for every pair of its workloads.
 */
export class ConnectionAlgebra {
  readonly none: ConnectionSet;
  readonly all: ConnectionSet;
  readonly #byText = new Map<string, ConnectionSet>();
  readonly #unions = new Map<number, ConnectionSet>();
  readonly #intersections = new Map<number, ConnectionSet>();
  readonly #differences = new Map<number, ConnectionSet>();

  constructor() {
    this.none = this.of({});
    this.all = this.of({ TCP: ALL_PORTS, UDP: ALL_PORTS, SCTP: ALL_PORTS });
  }

  of(ports: Partial<Record<NetworkProtocol, PortSet>>): ConnectionSet {
    const { TCP = NO_PORTS, UDP = NO_PORTS, SCTP = NO_PORTS } = ports;
    const text = format({ TCP, UDP, SCTP });
    let set = this.#byText.get(text);
    if (set === undefined) {
      set = { id: this.#byText.size, ports: { TCP, UDP, SCTP }, text };
      this.#byText.set(text, set);
    }
    return set;
  }

  union(a: ConnectionSet, b: ConnectionSet): ConnectionSet {
    if (a === b || b === this.none || a === this.all) return a;
    if (a === this.none || b === this.all) return b;
    return this.#apply(this.#unions, unionPorts, a, b);
  }

  intersect(a: ConnectionSet, b: ConnectionSet): ConnectionSet {
    if (a === b || b === this.all || a === this.none) return a;
    if (a === this.all || b === this.none) return b;
    return this.#apply(this.#intersections, intersectPorts, a, b);
  }

  subtract(a: ConnectionSet, b: ConnectionSet): ConnectionSet {
    if (a === b || b === this.all || a === this.none) return this.none;
    if (b === this.none) return a;
    return this.#apply(this.#differences, subtractPorts, a, b);
  }

  #apply(
    known: Map<number, ConnectionSet>,
    operation: Operation,
    a: ConnectionSet,
    b: ConnectionSet,
  ): ConnectionSet {
    // Fits a double up to 2^26 different sets.
    const key = a.id * 0x4000000 + b.id;
    let result = known.get(key);
    if (result === undefined) {
      result = this.of({
        TCP: operation(a.ports.TCP, b.ports.TCP),
        UDP: operation(a.ports.UDP, b.ports.UDP),
        SCTP: operation(a.ports.SCTP, b.ports.SCTP),
      });
      known.set(key, result);
    }
    return result;
  }
}

export function hasConnection(set: ConnectionSet, protocol: NetworkProtocol, port: number): boolean {
  return hasPort(set.ports[protocol], port);
}

function format(ports: Readonly<Record<NetworkProtocol, PortSet>>): string {
  if (NETWORK_PROTOCOLS.every((protocol) => isAll(ports[protocol]))) return "All Connections";
  return NETWORK_PROTOCOLS.filter((protocol) => ports[protocol].length > 0)
    .map((protocol) => `${protocol} ${formatPorts(ports[protocol])}`)
    .join(",");
}

function isAll(ports: PortSet): boolean {
  return ports.length === 2 && ports[0] === ALL_PORTS[0] && ports[1] === ALL_PORTS[1];
}
