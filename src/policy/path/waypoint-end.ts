/** The way to a waypoint, for who sends by one. */
import type { Mesh, Service } from "../../model/mesh.ts";
import { isWildcard } from "../outbound/host-name.ts";
import type { OutboundDecision } from "../outbound/types.ts";
import { chainProtocol } from "../port-protocol.ts";
import { ingressUsesWaypoint, type WaypointBinding, waypointOfService } from "../waypoint/waypoints.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import {
  type Addressed,
  type Arrival,
  type End,
  type Flight,
  type Sender,
  speaksHttp,
  unknownStep,
} from "./journey.ts";

/** What is for `addressed` goes to its waypoint, over HBONE. Undefined where none takes it. */
export function waypointEnd(
  binding: WaypointBinding,
  addressed: Addressed,
  sender: Sender,
  flight: Flight,
): End | undefined {
  const doubt = doubtOf(binding, addressed);
  const target = addressed.kind === "service" ? addressed.service.hostname : addressed.workload.key;
  const way = `waypoint of ${target}:${addressed.port}`;
  if (doubt !== undefined) {
    const step = unknownStep(
      sender.name,
      "waypoint",
      "waypoint-unknown",
      speaksHttp(flight),
      `unknown: ${doubt}`,
    );
    return { kind: "refused", step, way };
  }
  if (binding.kind !== "bound") return undefined;
  const { workload } = binding.waypoint;
  if (workload === undefined) throw new Error("BUG: a waypoint that is bound has pods");
  const { address, port } = addressed;
  const arrival: Arrival = { ...hboneArrival(workload, { port, address }, sender), addressed };
  return { kind: "workload", arrival, flight, way: `waypoint ${workload.key} of ${target}:${port}` };
}

function doubtOf(binding: WaypointBinding, addressed: Addressed): string | undefined {
  if (binding.kind === "unknown") return binding.why;
  if (addressed.kind !== "service") return undefined;
  const { hostname, resolution, external, ports } = addressed.service;
  if (resolution !== "dynamic-dns" || !isWildcard(hostname)) return undefined;
  // istiod gives such a host an address that nothing but a waypoint serves.
  if (binding.kind === "none")
    return `${hostname} has resolution DYNAMIC_DNS and no waypoint to look names up`;
  if (!external) return `${hostname} is MESH_INTERNAL: no waypoint is configured for a wildcard that is`;
  const protocol = ports.find(({ port }) => port === addressed.port)?.protocol;
  return protocol !== undefined && chainProtocol(protocol) !== "http"
    ? `${hostname} port ${addressed.port} is not HTTP: what a waypoint has for a wildcard there hangs on istiod's flag for wildcard hosts of TLS`
    : undefined;
}

/** A note on a way that goes past a service's waypoint, as sidecars and, unless told otherwise, gateways send. */
export function pastWaypoint(binding: WaypointBinding, { hostname }: Service): readonly string[] {
  if (binding.kind === "none") return binding.why === undefined ? [] : [binding.why];
  return [`the waypoint of ${hostname} is passed by: what it enforces is not asked, ztunnel alone decides`];
}

/** The same of what a gateway routes to. */
export function pastWaypoints(mesh: Mesh, decision: OutboundDecision): readonly string[] {
  const clusters =
    decision.kind === "forward" ? decision.targets.flatMap(({ cluster }) => cluster ?? []) : [];
  return clusters.flatMap(({ service }) => {
    const binding = waypointOfService(mesh, service);
    if (binding.kind !== "none" && ingressUsesWaypoint(mesh, service)) return [];
    return pastWaypoint(binding, service);
  });
}
