/** What gateways' routes open to the outside, as lines of a map. */
import { type PerhapsGateway, perhapsGateways } from "../../model/gateway-role.ts";
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { ConnectionSet } from "../../policy/network/connection-set.ts";
import type { MapNode } from "../../policy/network/map-nodes.ts";
import type { MapEntry, MeshMapOptions } from "../../policy/network/mesh-map.ts";
import { NetworkMap } from "../../policy/network/network-map.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import { portRange } from "../../policy/network/port-set.ts";
import { gatewayDestinations } from "../../policy/outbound/gateway-destinations.ts";
import { resourceName } from "../../resources/resource.ts";

export interface GatewayExposure {
  /** From the gateway's pods, as far as networks let them connect. */
  readonly entry: MapEntry;
  /** `{outside} by istio-system/istio-ingressgateway[Deployment]` */
  readonly from: string;
  readonly via: { readonly hosts: readonly string[]; readonly routes: readonly string[] };
  /** Present where its pods may be no gateway's: why nobody can tell what gets through. */
  readonly unclear?: string;
}

/** Sorted by gateway and destination. */
export function gatewayExposures(
  mesh: Mesh,
  nodes: readonly MapNode[],
  { blocks = "outside" }: Pick<MeshMapOptions, "blocks">,
): readonly GatewayExposure[] {
  const perhaps = new Map(perhapsGateways(mesh).map((own) => [own.workload, own]));
  const gateways = nodes.flatMap(({ workloads: [first] }, at) => {
    const doubt = first === undefined ? undefined : perhaps.get(first);
    return first !== undefined && (first.role === "gateway" || doubt !== undefined)
      ? [{ at, first, ...(doubt === undefined ? {} : { unclear: whyUnclear(doubt) }) }]
      : [];
  });
  if (gateways.length === 0) return [];
  const pods = nodes.map(({ pod }) => pod);
  const map = new NetworkMap(networkPolicies(mesh), pods, { families: [4], blocks });
  const places = new Map(nodes.flatMap(({ workloads }, at) => workloads.map((own) => [own, at] as const)));
  return gateways.flatMap(({ at, first, unclear }) =>
    [...openedBy(mesh, first, places, map)]
      .filter(([to]) => unclear === undefined || to !== at)
      .sort(([a], [b]) => a - b)
      .flatMap(([to, { hosts, routes, opened }]) => {
        const set = map.algebra.intersect(map.between(at, to), opened);
        const [source, destination] = [nodes[at], nodes[to]];
        if (set === map.algebra.none || source === undefined || destination === undefined) return [];
        const entry = {
          from: source.label,
          to: destination.label,
          connections: set.text,
          set,
          source,
          destination,
        };
        const via = { hosts: [...hosts].sort(), routes: [...routes].sort() };
        const exposure = { entry, from: `{outside} by ${source.label}`, via };
        return [unclear === undefined ? exposure : { ...exposure, unclear }];
      }),
  );
}

function whyUnclear({ gateways }: PerhapsGateway): string {
  return `${gateways.map(resourceName).join(", ")} selects these pods, which are taken for an application's: no file says that they run \`proxy router\``;
}

interface Opened {
  readonly hosts: Set<string>;
  readonly routes: Set<string>;
  opened: ConnectionSet;
}

function openedBy(
  mesh: Mesh,
  gateway: Workload,
  places: ReadonlyMap<Workload, number>,
  { algebra }: NetworkMap,
): ReadonlyMap<number, Opened> {
  const found = new Map<number, Opened>();
  for (const { workload, port, hosts, route } of gatewayDestinations(mesh, gateway)) {
    const at = places.get(workload);
    if (at === undefined) continue;
    const own = found.get(at) ?? { hosts: new Set(), routes: new Set(), opened: algebra.none };
    for (const host of hosts) own.hosts.add(host);
    own.routes.add(route);
    own.opened = algebra.union(own.opened, algebra.of({ TCP: portRange(port, port) }));
    found.set(at, own);
  }
  return found;
}
