/** What clients in ambient mode reach through waypoints, as lines of a map. */
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Service, ServicePort, Workload } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { ConnectionSet } from "../../policy/network/connection-set.ts";
import type { MapNode } from "../../policy/network/map-nodes.ts";
import type { MapEntry, MeshMapOptions } from "../../policy/network/mesh-map.ts";
import { NetworkMap } from "../../policy/network/network-map.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import { hasPort, portRange } from "../../policy/network/port-set.ts";
import { compileWaypoint, type WaypointPolicy } from "../../policy/waypoint/waypoint-policy.ts";
import { waypointOfService } from "../../policy/waypoint/waypoints.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { AccessEntry } from "./access-map.ts";
import { callerAt } from "./caller.ts";
import { HBONE_PORT, type MeshWay, meshWay, portsBehind } from "./mesh-way.ts";
import { notAnalysed } from "./not-analysed.ts";
import { type Caller, type PortAccess, ServerAccess } from "./server-access.ts";

/** What pods themselves let in. @throws {AnalysisLimit} */
export type PodAccess = (server: Workload, way: MeshWay) => ServerAccess;

interface WaypointOptions extends Pick<MeshMapOptions, "blocks"> {
  readonly semantics: Semantics;
  readonly keepsRegions?: boolean;
}

/**
 * `shop/web[Deployment] by shop/waypoint[Deployment]`: a line for each client, service and pod behind it, with the requests that the waypoint
 * takes from that client, as far as networks and the pod take the waypoint. Ports are the container's.
 */
export function* waypointLines(
  mesh: Mesh,
  nodes: readonly MapNode[],
  podAccess: PodAccess,
  options: WaypointOptions,
): Generator<AccessEntry> {
  const services = mesh.services
    .filter((service) => waypointOfService(mesh, service).kind !== "none")
    .sort((a, b) => (a.hostname < b.hostname ? -1 : 1));
  if (services.length === 0) return;
  const lines = new WaypointLines(mesh, nodes, podAccess, options);
  for (const service of services) yield* lines.of(service);
}

/** One place that a request for a service may end at. */
interface PodPort {
  readonly to: MapNode;
  readonly server: Workload;
  readonly servicePort: number;
  readonly port: number;
}

class WaypointLines {
  readonly #mesh: Mesh;
  readonly #nodes: readonly MapNode[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #podAccess: PodAccess;
  readonly #options: WaypointOptions;
  readonly #map: NetworkMap;
  readonly #policies = new Map<Workload, WaypointPolicy>();

  constructor(mesh: Mesh, nodes: readonly MapNode[], podAccess: PodAccess, options: WaypointOptions) {
    this.#mesh = mesh;
    this.#nodes = nodes;
    this.#podAccess = podAccess;
    this.#options = options;
    this.#places = new Map(
      nodes.flatMap(({ workloads }, at) => workloads.map(({ key }) => [key, at] as const)),
    );
    const { blocks = "outside" } = options;
    this.#map = new NetworkMap(
      networkPolicies(mesh),
      nodes.map(({ pod }) => pod),
      { families: [4], blocks },
    );
  }

  *of(service: Service): Generator<AccessEntry> {
    const binding = waypointOfService(this.#mesh, service);
    const ends = this.#ends(service);
    if (binding.kind === "none" || ends.length === 0) return;
    if (binding.kind === "unknown") {
      for (const from of this.#clients())
        for (const to of new Set(ends.map((end) => end.to)))
          if (from !== to) yield this.#unjudged(from, "a waypoint", to, service, binding.why);
      return;
    }
    const { workload: waypoint } = binding.waypoint;
    const at = this.#places.get(waypoint?.key ?? "");
    const node = at === undefined ? undefined : this.#nodes[at];
    if (waypoint === undefined || at === undefined || node === undefined) return;
    const policy = this.#policies.get(waypoint) ?? compileWaypoint(this.#mesh, waypoint, this.#options);
    this.#policies.set(waypoint, policy);
    const { inbound, routes } = policy.service(service);
    try {
      if (!routes.arePlain) throw new AnalysisLimit("routes of the waypoint may send it elsewhere");
      const access = new ServerAccess(inbound, this.#options.keepsRegions === true);
      for (const from of this.#clients(access)) {
        if (!this.#mayConnect(this.#placeOf(from), at)) continue;
        const caller = callerAt(from, "hbone");
        for (const [to, own] of Map.groupBy(ends, (end) => end.to))
          if (to !== from) yield* this.#line({ from, node, at, waypoint, to, service }, own, access, caller);
      }
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      for (const from of this.#clients())
        for (const to of new Set(ends.map((end) => end.to)))
          if (from !== to) yield this.#unjudged(from, node.label, to, service, error.message);
    }
  }

  *#line(
    { from, node, at, waypoint, to, service }: Line,
    ends: readonly PodPort[],
    access: ServerAccess,
    caller: Caller,
  ): Generator<AccessEntry> {
    const granted: PortAccess[] = [];
    for (const { server, servicePort, port } of ends) {
      const asked = access.from(caller, portRange(servicePort, servicePort));
      if (asked.length === 0) continue;
      const way = meshWay(this.#mesh, waypoint, server);
      const connected = this.#map.between(at, this.#placeOf(to)).ports.TCP;
      if (!hasPort(portsBehind(way, connected), port)) continue;
      try {
        if (this.#takesAll(server, way, node, port))
          granted.push(...asked.map((own) => ({ ...own, ports: portRange(port, port) })));
      } catch (error) {
        if (!(error instanceof AnalysisLimit)) throw error;
        yield this.#unjudged(from, node.label, to, service, error.message);
        return;
      }
    }
    if (granted.length === 0) return;
    const entry = this.#entry(from, node.label, to, granted);
    yield { ...entry, access: granted, via: viaOf(service) };
  }

  /**
   * Whether a pod lets its waypoint in, at a port: all, or nothing.
   * @throws {AnalysisLimit} where it takes some of what comes, and not all.
   */
  #takesAll(server: Workload, way: MeshWay, waypoint: MapNode, port: number): boolean {
    const taken = this.#podAccess(server, way).from(callerAt(waypoint, way), portRange(port, port));
    if (taken.length === 0) return false;
    const isAll = taken.every(
      ({ allowed, asked }) =>
        asked.sayings.length === 0 && allowed.sayings.length === 1 && allowed.sayings[0]?.length === 0,
    );
    if (!isAll) throw new AnalysisLimit("the pod takes some requests of its waypoint alone");
    return true;
  }

  /** Pods of a service in ambient mode or behind sidecars. */
  #ends({ endpoints, ports }: Service): readonly PodPort[] {
    return endpoints.flatMap(({ workload, portOverrides }) => {
      const to = this.#nodes[this.#places.get(workload?.key ?? "") ?? -1];
      if (workload === undefined || to === undefined) return [];
      return ports.filter(isTcp).flatMap((servicePort) => {
        const port = portOverrides[servicePort.name ?? ""] ?? resolveTargetPort(servicePort, workload);
        return port === undefined ? [] : [{ to, server: workload, servicePort: servicePort.port, port }];
      });
    });
  }

  /** In ambient mode, which alone send to waypoints; where it is given, those that get something through it. */
  #clients(access?: ServerAccess): readonly MapNode[] {
    const named = access?.namedCallers();
    const clients = this.#nodes.filter(({ workloads: [first] }) => first?.dataplane === "ambient");
    if (named === undefined) return clients;
    const wanted = new Set<string | null>(named.principals);
    return clients.filter((client) => wanted.has(callerAt(client, "hbone").principal));
  }

  #placeOf({ workloads }: MapNode): number {
    return this.#places.get(workloads[0]?.key ?? "") ?? -1;
  }

  #mayConnect(from: number, to: number): boolean {
    return hasPort(this.#map.between(from, to).ports.TCP, HBONE_PORT);
  }

  #entry(from: MapNode, waypoint: string, to: MapNode, granted: readonly PortAccess[]): MapEntry {
    const { algebra } = this.#map;
    const set = granted.reduce<ConnectionSet>(
      (all, { ports }) => algebra.union(all, algebra.of({ TCP: ports })),
      algebra.none,
    );
    const ends = { from: `${from.label} by ${waypoint}`, to: to.label, source: from, destination: to };
    return { ...ends, connections: set.text, set };
  }

  #unjudged(from: MapNode, waypoint: string, to: MapNode, service: Service, why: string): AccessEntry {
    const entry = this.#entry(from, waypoint, to, []);
    const connections = this.#map.algebra.all.text;
    return { ...entry, connections, access: null, why: notAnalysed(why), via: viaOf(service) };
  }
}

interface Line {
  readonly from: MapNode;
  /** The waypoint's pods, and their place. */
  readonly node: MapNode;
  readonly at: number;
  readonly waypoint: Workload;
  readonly to: MapNode;
  readonly service: Service;
}

function isTcp({ protocol }: ServicePort): boolean {
  return protocol !== "udp";
}

function viaOf({ hostname, namespace, resource }: Service): NonNullable<AccessEntry["via"]> {
  return { hosts: [hostname], routes: [`${resource.kind} ${namespace}/${resource.name}`] };
}
