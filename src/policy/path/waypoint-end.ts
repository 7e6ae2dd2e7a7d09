/** The way to a waypoint, for who sends by one. */
import type { Mesh, Service } from "../../model/mesh.ts";
import type { OutboundDecision } from "../outbound/types.ts";
import type { WaypointWay } from "../waypoint/waypoint-way.ts";
import { ingressUsesWaypoint, type WaypointBinding, waypointOfService } from "../waypoint/waypoints.ts";
import { hboneArrival } from "./hbone-arrival.ts";
import { type Arrival, type End, type Flight, type Sender, speaksHttp, unknownStep } from "./journey.ts";

/** Where a way by a waypoint ends: at it, or, where it is not known, nowhere. */
export function endOfWay(to: WaypointWay, sender: Sender, flight: Flight): End {
  const { addressed } = to;
  const target = addressed.kind === "service" ? addressed.service.hostname : addressed.workload.key;
  const way = `waypoint of ${target}:${addressed.port}`;
  if (to.kind === "unknown") {
    const step = unknownStep(
      sender.name,
      "waypoint",
      "waypoint-unknown",
      speaksHttp(flight),
      `unknown: ${to.why}`,
    );
    return { kind: "refused", step, way };
  }
  const { waypoint } = to;
  const arrival: Arrival = { ...hboneArrival(waypoint, addressed, sender), addressed };
  return {
    kind: "workload",
    arrival,
    flight,
    way: `waypoint ${waypoint.key} of ${target}:${addressed.port}`,
  };
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
