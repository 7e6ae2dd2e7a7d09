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
  /** Why nobody can tell what gets through; absent where it is to be judged. */
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
    openedBy(mesh, first, places, map)
      .filter(({ to }) => unclear === undefined || to !== at)
      .sort((a, b) => a.to - b.to)
      .flatMap(({ to, hosts, routes, opened, entry: serviceEntry }) => {
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
        const why = unclear ?? (serviceEntry === undefined ? undefined : whyByEntry(serviceEntry));
        return [why === undefined ? exposure : { ...exposure, unclear: why }];
      }),
  );
}

function whyUnclear({ gateways }: PerhapsGateway): string {
  return `${gateways.map(resourceName).join(", ")} selects these pods, which are taken for an application's: no file says that they run \`proxy router\``;
}

function whyByEntry(entry: string): string {
  return `it is an address of ${entry}, whose DestinationRules say as whom the gateway comes`;
}

interface Opened {
  readonly to: number;
  /** The ServiceEntry whose address it is. */
  readonly entry?: string;
  readonly hosts: Set<string>;
  readonly routes: Set<string>;
  opened: ConnectionSet;
}

function openedBy(
  mesh: Mesh,
  gateway: Workload,
  places: ReadonlyMap<Workload, number>,
  { algebra }: NetworkMap,
): readonly Opened[] {
  const found = new Map<string, Opened>();
  for (const { workload, port, hosts, route, entry } of gatewayDestinations(mesh, gateway)) {
    const to = places.get(workload);
    if (to === undefined) continue;
    const key = `${to} ${entry ?? ""}`;
    const own = found.get(key) ?? {
      to,
      hosts: new Set(),
      routes: new Set(),
      opened: algebra.none,
      ...(entry === undefined ? {} : { entry }),
    };
    for (const host of hosts) own.hosts.add(host);
    own.routes.add(route);
    own.opened = algebra.union(own.opened, algebra.of({ TCP: portRange(port, port) }));
    found.set(key, own);
  }
  return [...found.values()];
}
