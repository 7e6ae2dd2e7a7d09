import type { Mesh } from "./mesh.ts";
import { addressesOf, type Placement } from "./placement.ts";

/** The mesh as it is where a substrate has given addresses to services without one: as a cluster's API server does. */
export function withVirtualAddresses(mesh: Mesh, { virtualAddresses = [] }: Placement): Mesh {
  if (virtualAddresses.length === 0) return mesh;
  const given = new Map(virtualAddresses.map((virtual) => [virtual.hostname, addressesOf(virtual)]));
  const services = mesh.services.map((service) => {
    const addresses = service.addresses.length === 0 ? given.get(service.hostname) : undefined;
    return addresses === undefined ? service : { ...service, addresses };
  });
  return { ...mesh, services };
}
