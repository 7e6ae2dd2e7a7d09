/** Whether a gateway sends what is for a service to the service's waypoint. `can` and the data plane choose by this one. */
import type { Mesh } from "../../model/mesh.ts";
import type { ClusterPlan } from "../outbound/types.ts";
import { type WaypointWay, waypointWay } from "./waypoint-way.ts";
import { ingressUsesWaypoint, waypointOfService } from "./waypoints.ts";

const TLS_INSIDE =
  "a DestinationRule has TLS spoken to the waypoint inside of the tunnel: what it makes of that is not known";

/** Not known, because of TLS that a rule writes out. */
export interface TlsToWaypoint {
  readonly kind: "tls-inside";
  readonly why: string;
}

/** By the label of the service, or of its namespace, whichever subset a route names. Undefined: past it, if there is one. */
export function ingressWay(
  mesh: Mesh,
  { service, port, tls }: ClusterPlan,
): WaypointWay | TlsToWaypoint | undefined {
  if (!ingressUsesWaypoint(mesh, service)) return undefined;
  const binding = waypointOfService(mesh, service);
  if (binding.kind === "bound" && (tls === "simple" || tls === "mutual"))
    return { kind: "tls-inside", why: TLS_INSIDE };
  return waypointWay(binding, { kind: "service", service, port, address: service.addresses[0] ?? "" });
}
