/** Whether who sends to a service or a workload sends to its waypoint instead. */
import type { Workload } from "../../model/mesh.ts";
import { isWildcard } from "../outbound/host-name.ts";
import type { Addressed } from "../path/journey.ts";
import { chainProtocol } from "../port-protocol.ts";
import type { WaypointBinding } from "./waypoints.ts";

/** By a waypoint, over HBONE; or, where it cannot be told whether and by which, nowhere. */
export type WaypointWay =
  | { readonly kind: "waypoint"; readonly waypoint: Workload; readonly addressed: Addressed }
  | { readonly kind: "unknown"; readonly why: string; readonly addressed: Addressed };

/** The way to what stands before `addressed`. Undefined where nothing does. */
export function waypointWay(binding: WaypointBinding, addressed: Addressed): WaypointWay | undefined {
  const why = doubtOf(binding, addressed);
  if (why !== undefined) return { kind: "unknown", why, addressed };
  if (binding.kind !== "bound") return undefined;
  const { workload: waypoint } = binding.waypoint;
  if (waypoint === undefined) throw new Error("BUG: a waypoint that is bound has pods");
  return { kind: "waypoint", waypoint, addressed };
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
