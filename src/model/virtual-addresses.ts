import type { Endpoint, Mesh, Service } from "./mesh.ts";
import { addressesOf, type Placement, type PodPlacement } from "./placement.ts";

/**
 * The mesh as it is where a substrate has given addresses: to services without one, as a cluster's API server does, and to
 * the pods behind headless services, which clients dial one by one.
 */
export function withVirtualAddresses(mesh: Mesh, { virtualAddresses, pods }: Placement): Mesh {
  if (virtualAddresses === undefined) return mesh;
  const given = new Map(virtualAddresses.map((virtual) => [virtual.hostname, addressesOf(virtual)]));
  const byWorkload = Map.groupBy(pods, ({ workload }) => workload);
  const services = mesh.services.map((service): Service => {
    if (service.headless)
      return {
        ...service,
        endpoints: service.endpoints.flatMap((endpoint) => ofEachPod(endpoint, byWorkload)),
      };
    const addresses = service.addresses.length === 0 ? given.get(service.hostname) : undefined;
    return addresses === undefined ? service : { ...service, addresses };
  });
  return { ...mesh, services };
}

function ofEachPod(
  endpoint: Endpoint,
  byWorkload: ReadonlyMap<string, readonly PodPlacement[]>,
): readonly Endpoint[] {
  if (endpoint.workload === undefined || endpoint.address !== undefined) return [endpoint];
  const pods = byWorkload.get(endpoint.workload.key) ?? [];
  return pods.flatMap((pod) => addressesOf(pod).map((address) => ({ ...endpoint, address })));
}
