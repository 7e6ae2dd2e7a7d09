/** What routes of the mesh ask of requests for a host. */
import type { Mesh } from "../../../model/mesh.ts";
import { isHostSubset, isWildcard, MESH_GATEWAY } from "../../../policy/outbound/host-name.ts";
import { meshIndex } from "../../../policy/outbound/mesh-index.ts";
import type { HttpMatch } from "../../../policy/outbound/resource-shapes.ts";

/** Conditions of all routes that may take requests for the host, whichever clients they are for. */
export function routeMatches(mesh: Mesh, host: string): readonly HttpMatch[] {
  const covers = (own: string): boolean => own === host || (isWildcard(own) && isHostSubset(host, own));
  return meshIndex(mesh)
    .virtualServices.all.filter(
      ({ gateways, hosts }) => gateways.includes(MESH_GATEWAY) && hosts.some(covers),
    )
    .flatMap(({ http }) => http.flatMap(({ route }) => route.match ?? []));
}
