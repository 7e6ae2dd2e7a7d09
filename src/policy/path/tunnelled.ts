import type { Workload } from "../../model/mesh.ts";
import type { ClusterPlan } from "../outbound/types.ts";

/**
 * Whether a sidecar, a gateway or a waypoint speaks HBONE to an endpoint because it is in ambient mode, whatever PeerAuthentication and DestinationRules
 * say. Where the client picks the address itself, nobody knows that it is one.
 * @see pilot/pkg/xds/endpoints/endpoint_builder.go of istio/istio
 */
export function isTunnelled({ dataplane, role }: Workload, { resolution }: ClusterPlan): boolean {
  return dataplane === "ambient" && role === "application" && resolution !== "original-destination";
}
