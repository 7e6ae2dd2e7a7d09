/** Which endpoints a proxy that routes speaks HBONE to. `can` and the data plane choose by this one. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { takesHbone } from "../ambient/hbone.ts";
import type { ClusterPlan } from "../outbound/types.ts";
import { isOwnCluster } from "../waypoint/waypoint-routes.ts";

/** Those in ambient mode, for every proxy; a waypoint, which alone has clusters of its own, to every pod of those that takes it. */
export function speaksHbone(mesh: Mesh, workload: Workload, cluster: ClusterPlan): boolean {
  return isTunnelled(workload, cluster) || (isOwnCluster(cluster) && takesHbone(mesh, workload));
}

/**
 * Whether a sidecar, a gateway or a waypoint speaks HBONE to an endpoint because it is in ambient mode, whatever PeerAuthentication and DestinationRules
 * say. Where the client picks the address itself, nobody knows that it is one.
 * @see pilot/pkg/xds/endpoints/endpoint_builder.go of istio/istio
 */
export function isTunnelled({ dataplane, role }: Workload, { resolution }: ClusterPlan): boolean {
  return dataplane === "ambient" && role === "application" && resolution !== "original-destination";
}
