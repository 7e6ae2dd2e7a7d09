/** Where the ztunnel of a client sends what its pod dials: to a waypoint, to pods, or out of the mesh. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { compareSpecificity, isHostSubset, isWildcard } from "../outbound/host-name.ts";
import type { DialedDestination } from "../outbound/types.ts";
import { findService, type MeshDirectory } from "../path/compiled-policies.ts";
import type { Addressed } from "../path/journey.ts";
import { type Place, placesOf } from "../path/places.ts";
import { type WaypointWay, waypointWay } from "../waypoint/waypoint-way.ts";
import {
  hasVirtualAddress,
  type WaypointBinding,
  waypointOfService,
  waypointOfWorkload,
} from "../waypoint/waypoints.ts";
import { takesHbone } from "./hbone.ts";

/** One of the places that a connection may be sent to. */
export type AmbientEnd =
  | WaypointWay
  | {
      readonly kind: "pod";
      readonly workload: Workload;
      /** The container's. */
      readonly port: number;
      /** Empty where the mesh gives its pods none. */
      readonly address: string;
      /** Through HBONE; else in clear. */
      readonly hbone: boolean;
    }
  | { readonly kind: "outside"; readonly address: string; readonly port: number };

/** Leave to send on, and where to. */
export type AmbientWay = Exclude<AmbientEnd, { readonly kind: "unknown" }>;

export interface AmbientRoute {
  /** What was dialled is known as its address or name. */
  readonly service: Service | undefined;
  /** Empty: nothing serves it. Null: it is nobody's of the mesh, and passes as it is. */
  readonly ends: readonly AmbientEnd[] | null;
  /** For a person. */
  readonly notes: readonly string[];
}

export interface AmbientRouteOptions {
  /** Names and addresses that count: the mesh's, or those that a substrate has given. */
  readonly directory: MeshDirectory;
  /** The servers alone are asked about, as if they stood in the other mode: no waypoint counts. */
  readonly otherMode?: boolean;
}

/**
 * What is dialled by a service's address goes to the service's waypoint; by a pod's own address, to the pod's; without one, to each pod as that one's data
 * plane asks for. VirtualServices and outbound policy do not count. `can` and the ztunnel decide by this one.
 * @see src/proxy/outbound.rs of istio/ztunnel
 */
export function ambientRoute(
  mesh: Mesh,
  client: Workload,
  dialled: DialedDestination,
  { directory, otherMode = false }: AmbientRouteOptions,
): AmbientRoute {
  const service = dialledService(mesh, client, dialled, directory);
  const binding: WaypointBinding =
    otherMode || service === undefined ? { kind: "none" } : waypointOfService(mesh, service);
  const front = service === undefined ? undefined : frontOf(binding, service, dialled);
  if (front !== undefined) return { service, ends: [front], notes: [] };
  const places = placesOf(mesh, dialled, service, directory);
  const byAddress = service === undefined || isDialledItself(service);
  const ends = places?.map((place) => endAt(mesh, place, byAddress, otherMode)) ?? null;
  const notes = binding.kind === "none" && binding.why !== undefined ? [binding.why] : [];
  return { service, ends, notes };
}

function dialledService(
  mesh: Mesh,
  client: Workload,
  { host, ip }: DialedDestination,
  directory: MeshDirectory,
): Service | undefined {
  if (ip === undefined)
    return findService(directory, host ?? "", client.namespace) ?? wildcardService(mesh, host ?? "");
  return directory.byAddress.has(ip) ? undefined : directory.byVirtualAddress.get(ip);
}

/**
 * The wildcard that ztunnel's DNS answers a name by: the most specific. Only one with an address of its own is answered; names under any other are
 * whatever the cluster's DNS says.
 * @see pilot/pkg/serviceregistry/ambient/services.go of istio/istio
 */
export function wildcardService({ services }: Mesh, host: string): Service | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  return services
    .filter((service) => isWildcard(service.hostname) && hasVirtualAddress(service))
    .filter(({ hostname }) => isHostSubset(name, hostname.toLowerCase()))
    .sort((a, b) => compareSpecificity(a.hostname, b.hostname))[0];
}

function frontOf(
  binding: WaypointBinding,
  service: Service,
  { ip, port }: DialedDestination,
): WaypointWay | undefined {
  const address = ip ?? service.addresses[0] ?? "";
  return waypointWay(binding, { kind: "service", service, port, address });
}

/** Of a service without an address of its own clients dial the pods. */
function isDialledItself({ headless, resolution }: Service): boolean {
  return headless || resolution === "none";
}

function endAt(
  mesh: Mesh,
  { workload, port, address }: Place,
  byAddress: boolean,
  otherMode: boolean,
): AmbientEnd {
  if (workload === undefined) return { kind: "outside", address, port };
  const addressed: Addressed = { kind: "workload", workload, port, address };
  const front =
    byAddress && !otherMode && workload.role === "application"
      ? waypointWay(waypointOfWorkload(mesh, workload), addressed)
      : undefined;
  const hbone = takesHbone(mesh, workload) || (otherMode && workload.dataplane === "sidecar");
  return front ?? { kind: "pod", workload, port, address, hbone };
}
