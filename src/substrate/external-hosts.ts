import type { Mesh, Service } from "../model/mesh.ts";
import type { WorkloadPort } from "./workload-ports.ts";

/** Hosts outside of the mesh with the ports that their ServiceEntries give them. */
export function externalHosts(mesh: Mesh): Map<string, readonly WorkloadPort[]> {
  const hosts = new Map<string, readonly WorkloadPort[]>();
  for (const service of mesh.services) {
    if (
      service.origin !== "service-entry" ||
      service.endpoints.some(({ workload }) => workload !== undefined)
    )
      continue;
    const ports = new Map((hosts.get(service.hostname) ?? []).map((port) => [port.port, port]));
    for (const port of externalPorts(service)) if (!ports.has(port.port)) ports.set(port.port, port);
    hosts.set(service.hostname, [...ports.values()]);
  }
  return hosts;
}

function externalPorts(service: Service): WorkloadPort[] {
  return service.ports
    .filter(({ protocol }) => protocol !== "udp")
    .flatMap(({ name, port, targetPort, protocol }) => {
      const written = service.endpoints.map(({ portOverrides }) => portOverrides[name ?? ""]);
      const target = typeof targetPort === "number" ? targetPort : port;
      return [port, target, ...written.filter((override) => override !== undefined)].map((number) => ({
        port: number,
        protocol,
      }));
    });
}
