/** Traffic that a waypoint sent on, and that no record of the pods behind it tells: policies of theirs would refuse it. */
import type { Mesh } from "../../model/mesh.ts";
import type { Evidence } from "./evidence.ts";
import { waypointTargets } from "./waypoint-targets.ts";

/** By workload, the waypoints that sent to its services. */
export function unrecordedWaypoints(mesh: Mesh, { servers }: Evidence): ReadonlyMap<string, string> {
  const missing = new Map<string, string>();
  for (const { service, proxy } of waypointTargets(mesh).targets) {
    if (!servers.has(service.hostname.toLowerCase())) continue;
    const principal = proxy.spiffeId.slice("spiffe://".length);
    for (const { workload } of service.endpoints) {
      if (workload === undefined) continue;
      const ports = [...(servers.get(workload.key)?.values() ?? [])];
      if (ports.some(({ uses }) => uses.some((use) => use.principal === principal))) continue;
      missing.set(workload.key, proxy.key);
    }
  }
  return missing;
}
