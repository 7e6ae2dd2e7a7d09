/** The same mesh with its applications in the other mode: what a compromise costs behind sidecars, and in ambient mode. */
import type { Endpoint, Mesh, Workload } from "../../model/mesh.ts";

export type Mode = "sidecar" | "ambient";

/** Applications that have a proxy of the mesh before them, all in one mode. WorkloadEntries keep theirs: no ztunnel is on their machines. */
export function inMode(mesh: Mesh, mode: Mode): Mesh {
  const moved = new Map(mesh.workloads.map((workload) => [workload, moveTo(workload, mode)]));
  const endpoint = (own: Endpoint): Endpoint =>
    own.workload === undefined ? own : { ...own, workload: moved.get(own.workload) ?? own.workload };
  return {
    ...mesh,
    workloads: mesh.workloads.map((workload) => moved.get(workload) ?? workload),
    services: mesh.services.map((service) => ({ ...service, endpoints: service.endpoints.map(endpoint) })),
  };
}

function moveTo(workload: Workload, mode: Mode): Workload {
  const { role, kind, dataplane } = workload;
  if (role !== "application" || kind === "WorkloadEntry" || dataplane === "none" || dataplane === mode)
    return workload;
  const { capture: _capture, ...rest } = workload;
  return { ...rest, dataplane: mode };
}
