/** Clients in ambient mode: their nodes' ztunnels send for them, to waypoints, pods, and whatever is no pod of the mesh. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { takesHbone } from "../ambient/hbone.ts";
import { compareSpecificity, isHostSubset, isWildcard } from "../outbound/host-name.ts";
import type { DialedDestination } from "../outbound/types.ts";
import {
  hasVirtualAddress,
  type WaypointBinding,
  waypointOfService,
  waypointOfWorkload,
} from "../waypoint/waypoints.ts";
import { findService, meshDirectory } from "./compiled-policies.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import {
  type End,
  type Flight,
  type HopResult,
  type JourneyContext,
  type Sender,
  type Step,
  speaksHttp,
} from "./journey.ts";
import { clearArrival, type Place, placesOf } from "./onward-ends.ts";
import { waypointEnd } from "./waypoint-end.ts";

/**
 * What is dialled by a service's address goes to the service's waypoint; by a pod's own address, to the pod's; without one, to each pod as that one's data
 * plane asks for.
 * @see src/proxy/outbound.rs of istio/ztunnel
 */
export function ambientClientHop(
  context: JourneyContext,
  flight: Flight,
  client: Workload,
  sender: Sender,
  dialled: DialedDestination,
): HopResult {
  const { mesh } = context;
  const service = dialledService(mesh, client, dialled);
  // What is compared with the other mode is the server alone.
  const front: Front =
    context.otherMode === true || service === undefined
      ? { binding: { kind: "none" }, end: undefined }
      : serviceFront(mesh, service, sender, dialled, flight);
  if (front.end !== undefined) {
    const step = clientStep(sender, front.end.way, flight, []);
    return { step, onward: { flight, ends: [front.end] } };
  }
  const places = placesOf(mesh, dialled, service);
  const byAddress = service === undefined || isDialledItself(service);
  const ends = (places ?? []).map((place) => endAt(context, flight, sender, place, byAddress));
  const to = places === null ? undefined : (waypointAmong(ends) ?? service?.hostname ?? dialled.ip);
  const notes = front.binding.kind === "none" && front.binding.why !== undefined ? [front.binding.why] : [];
  const step = clientStep(sender, to, flight, notes);
  return places === null ? { step } : { step, onward: { flight, ends } };
}

/** Of one pod by its own address. */
function waypointAmong([only, ...others]: readonly End[]): string | undefined {
  const isWaypoint = only?.kind === "workload" && only.arrival.addressed !== undefined;
  return isWaypoint && others.length === 0 ? only.way : undefined;
}

function dialledService(mesh: Mesh, client: Workload, { host, ip }: DialedDestination): Service | undefined {
  const directory = meshDirectory(mesh);
  if (ip === undefined)
    return findService(directory, host ?? "", client.namespace) ?? wildcardService(mesh, host ?? "");
  return directory.byAddress.has(ip) ? undefined : directory.byVirtualAddress.get(ip);
}

/**
 * The wildcard that ztunnel's DNS answers a name by: the most specific. Only one with an address of its own is answered; names under any other are
 * whatever the cluster's DNS says.
 * @see pilot/pkg/serviceregistry/ambient/services.go of istio/istio
 */
function wildcardService({ services }: Mesh, host: string): Service | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  return services
    .filter((service) => isWildcard(service.hostname) && hasVirtualAddress(service))
    .filter(({ hostname }) => isHostSubset(name, hostname.toLowerCase()))
    .sort((a, b) => compareSpecificity(a.hostname, b.hostname))[0];
}

interface Front {
  readonly binding: WaypointBinding;
  readonly end: End | undefined;
}

function serviceFront(
  mesh: Mesh,
  service: Service,
  sender: Sender,
  { ip, port }: DialedDestination,
  flight: Flight,
): Front {
  const binding = waypointOfService(mesh, service);
  const address = ip ?? service.addresses[0] ?? "";
  return { binding, end: waypointEnd(binding, { kind: "service", service, port, address }, sender, flight) };
}

/** Of a service without an address of its own clients dial the pods. */
function isDialledItself({ headless, resolution }: Service): boolean {
  return headless || resolution === "none";
}

function endAt(
  { mesh, otherMode }: JourneyContext,
  flight: Flight,
  sender: Sender,
  { workload, port, address }: Place,
  byAddress: boolean,
): End {
  if (workload === undefined) return { kind: "outside", way: address, place: { ip: address, port } };
  const addressed = { kind: "workload", workload, port, address } as const;
  const front =
    byAddress && otherMode !== true && workload.role === "application"
      ? waypointEnd(waypointOfWorkload(mesh, workload), addressed, sender, flight)
      : undefined;
  if (front !== undefined) return front;
  const tunnelled = takesHbone(mesh, workload) || (otherMode === true && workload.dataplane === "sidecar");
  const arrival = tunnelled
    ? hboneArrival(workload, addressed, sender)
    : clearArrival(workload, addressed, { flight, sender });
  return { kind: "workload", arrival, flight, way: `${workload.key}:${port}` };
}

/** ztunnel has no routes of VirtualServices, and no outbound policy. */
function clientStep(
  { name }: Sender,
  to: string | undefined,
  flight: Flight,
  notes: readonly string[],
): Step {
  return {
    hop: name,
    side: "client",
    allowed: true,
    code: speaksHttp(flight) ? 200 : 0,
    reason: to === undefined ? "passthrough" : "ok",
    cause: to === undefined ? "passthrough" : "routed",
    layer: "client-route",
    policy: null,
    rule: null,
    answersHttp: false,
    ...(to === undefined ? {} : { to }),
    explain: () => [
      to === undefined
        ? "the client's ztunnel passes on, as it is, what is of no workload of the mesh"
        : to.startsWith("waypoint ")
          ? `the client's ztunnel sends it to ${to}, through HBONE`
          : `the client's ztunnel sends it to ${to}; VirtualServices do not count for it`,
      ...notes,
    ],
  };
}
