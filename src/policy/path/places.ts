/** Which workloads stand behind what a client dials. */
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { type MeshDirectory, meshDirectory } from "./compiled-policies.ts";

export interface Place {
  /** Undefined: outside of the mesh. */
  readonly workload: Workload | undefined;
  readonly port: number;
  readonly address: string;
}

/**
 * The workloads that a dialled name or address stands for, without any proxy's help; null where it is nobody of the mesh.
 * @param service the mesh's service that it is known to be.
 * @param directory the mesh's own names and addresses, or those that a substrate has given.
 */
export function placesOf(
  mesh: Mesh,
  { ip, host, port }: { readonly ip?: string; readonly host?: string; readonly port: number },
  service: Service | undefined,
  directory: MeshDirectory = meshDirectory(mesh),
): readonly Place[] | null {
  const { byAddress, byVirtualAddress } = directory;
  const address = ip ?? host ?? "";
  const workload = byAddress.get(address);
  if (workload !== undefined) return [{ workload, port, address }];
  const meant = service ?? byVirtualAddress.get(address);
  return meant === undefined ? null : placesOfService(directory, meant, port);
}

/** Endpoints by the service's port; a headless service's are dialled at the very port. */
function placesOfService(
  { byAddress }: MeshDirectory,
  service: Service,
  port: number,
): readonly Place[] | null {
  const servicePort = service.ports.find((own) => own.port === port);
  const places = service.endpoints.flatMap((endpoint): Place[] => {
    const workload = endpoint.workload ?? byAddress.get(endpoint.address ?? "");
    const address = endpoint.address ?? workload?.addresses[0] ?? "";
    if (service.headless || service.resolution === "none") return [{ workload, port, address }];
    if (servicePort === undefined) return [];
    const override = endpoint.portOverrides[servicePort.name ?? ""];
    const target = override ?? resolveTargetPort(servicePort, workload);
    return target === undefined ? [] : [{ workload, port: target, address }];
  });
  return places.length === 0 && leadsOutside(service) ? null : places;
}

/** Whether what is dialled counts where no endpoint is known: the host's own name in DNS, or the very address. */
function leadsOutside({ external, resolution }: Service): boolean {
  return external || (resolution !== "static" && resolution !== "passthrough");
}
