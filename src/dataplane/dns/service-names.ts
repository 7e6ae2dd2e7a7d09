import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Service } from "../../model/mesh.ts";
import { addressesOf, type Placement } from "../../model/placement.ts";
import type { LookUp } from "./dns-server.ts";

export interface ServiceNamesOptions {
  /** Also hosts of ServiceEntries, by the addresses that stand for them in the mesh: for who is behind a sidecar. */
  readonly serviceEntries: boolean;
}

/**
 * Names of the services of a mesh whose virtual addresses are given: a service's virtual address, the pods of a headless one, and each pod by its own name. Names are
 * whole (`payroll.finance.svc.cluster.local`): shorter ones are completed by the pod's search path.
 */
export function serviceNames(mesh: Mesh, placement: Placement, options: ServiceNamesOptions): LookUp {
  const names = new Map<string, readonly string[]>();
  const put = (name: string, addresses: readonly string[]): void => {
    const key = name.toLowerCase();
    if (!names.has(key)) names.set(key, addresses);
  };
  for (const service of mesh.services) {
    if (service.hostname.startsWith("*")) continue;
    if (service.origin === "service-entry" && !options.serviceEntries) continue;
    if (service.headless) putPods(service, placement, put);
    else {
      const own = service.addresses.filter((address) => !address.includes("/"));
      if (own.length > 0) put(service.hostname, own);
    }
  }
  return (name) => names.get(name);
}

function putPods(
  { hostname, endpoints, ports }: Service,
  { pods }: Placement,
  put: (name: string, addresses: readonly string[]) => void,
): void {
  const served = endpoints.flatMap(({ workload }) => {
    const serves =
      ports.length === 0 || ports.some((port) => resolveTargetPort(port, workload) !== undefined);
    return workload !== undefined && serves ? pods.filter((pod) => pod.workload === workload.key) : [];
  });
  put(hostname, [...new Set(served.flatMap((pod) => addressesOf(pod)))]);
  for (const pod of served) put(`${pod.name}.${hostname}`, addressesOf(pod));
}
