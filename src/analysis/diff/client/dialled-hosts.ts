/** What clients can dial: every host of two meshes, one that neither has, and the ports that tell them apart. */
import type { Mesh } from "../../../model/mesh.ts";
import { isWildcard, MESH_GATEWAY } from "../../../policy/outbound/host-name.ts";
import { meshIndex } from "../../../policy/outbound/mesh-index.ts";

export interface DialledHost {
  /** A name that can be dialled: of a wildcard one that it covers. */
  readonly host: string;
  /** As resources write it; null: a host that none names. */
  readonly named: string | null;
  readonly ports: readonly DialledPort[];
}

export interface DialledPort {
  readonly port: number;
  /** Whether it stands for all ports that no service has. */
  readonly isOther: boolean;
}

const UNKNOWN_HOST = "host.unknown.example";
/** Of hosts that no service has, or that routes name, so many ports are asked about. */
const MAX_PORTS = 64;
/** With no more ports than these in two meshes every host is asked about at each: another service may listen there for all addresses. */
const FEW_PORTS = 16;

export function dialledHosts(before: Mesh, after: Mesh): readonly DialledHost[] {
  const portsOf = new Map<string, Set<number>>();
  const all = new Set<number>();
  for (const { services } of [before, after])
    for (const { hostname, ports } of services) {
      const known = portsOf.get(hostname) ?? new Set();
      for (const { port, protocol } of ports) {
        if (protocol === "udp") continue;
        known.add(port);
        all.add(port);
      }
      portsOf.set(hostname, known);
    }
  for (const { workloads } of [before, after])
    for (const { capture } of workloads)
      for (const port of [...(capture?.excludeOutboundPorts ?? []), ...(capture?.includeOutboundPorts ?? [])])
        all.add(port);
  const common = [...all].sort((a, b) => a - b).slice(0, MAX_PORTS);
  const everywhere = all.size <= FEW_PORTS ? common : [];
  for (const mesh of [before, after])
    for (const { hosts, gateways } of meshIndex(mesh).virtualServices.all)
      if (gateways.includes(MESH_GATEWAY))
        for (const host of hosts) portsOf.set(host, new Set([...(portsOf.get(host) ?? []), ...common]));
  const other = [65_000, 64_999, 64_998].find((port) => !all.has(port)) ?? 1;
  const withOther = (ports: Iterable<number>): DialledPort[] => [
    ...[...ports].sort((a, b) => a - b).map((port) => ({ port, isOther: false })),
    { port: other, isOther: true },
  ];
  const named = [...portsOf].map(([name, ports]) => ({
    host: isWildcard(name) ? `x${name.slice(1)}` : name,
    named: name,
    ports: withOther(new Set([...ports, ...everywhere])),
  }));
  return [...named, { host: UNKNOWN_HOST, named: null, ports: withOther(common) }];
}
