/** What a waypoint is asked for by its tunnels: addresses of services, or of workloads, that it stands before. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { formatIpAddress, parseIpAddress } from "../ip-address.ts";
import { servicesOfWaypoint, waypointOfWorkload } from "./waypoints.ts";

export type Served =
  | { readonly kind: "service"; readonly service: Service }
  | { readonly kind: "workload"; readonly workload: Workload };

/** By address as `canonicalAddress` writes it. */
export type ServedAddresses = ReadonlyMap<string, Served>;

/**
 * INVARIANT: an address that several claim is nobody's but the first's, as clients take it: a waypoint never serves another's.
 * @param podAddresses where a workload's pods are.
 */
export function servedAddresses(
  mesh: Mesh,
  waypoint: Workload,
  podAddresses: (workload: Workload) => readonly string[],
): ServedAddresses {
  const all = new Map<string, Served>();
  const claim = (address: string, served: Served): void => {
    const canonical = canonicalAddress(address);
    if (canonical !== undefined && !all.has(canonical)) all.set(canonical, served);
  };
  // Pods first: an address that is a pod's is the pod's to who dials it.
  for (const workload of mesh.workloads)
    if (!workload.hostNetwork)
      for (const address of podAddresses(workload)) claim(address, { kind: "workload", workload });
  for (const service of [...mesh.services, ...mesh.undiscoveredServices])
    for (const address of service.addresses) claim(address, { kind: "service", service });
  const services = new Set(servicesOfWaypoint(mesh, waypoint));
  const isServed = (served: Served): boolean =>
    served.kind === "service" ? services.has(served.service) : isBound(mesh, waypoint, served.workload);
  return new Map([...all].filter(([, served]) => isServed(served)));
}

function isBound(mesh: Mesh, waypoint: Workload, workload: Workload): boolean {
  if (workload.role !== "application") return false;
  const binding = waypointOfWorkload(mesh, workload);
  return binding.kind === "bound" && binding.waypoint.workload?.key === waypoint.key;
}

/** One text for every way to write an address; undefined for what is none. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseIpAddress(text);
  return address === undefined ? undefined : formatIpAddress(address);
}
