import { resolveTargetPort } from "../model/build-services.ts";
import type { AppProtocol, Mesh, Workload } from "../model/mesh.ts";

export interface WorkloadPort {
  readonly port: number;
  readonly protocol: AppProtocol;
}

/** The TCP ports on which a workload's application is reached: those of its containers, and those that Services send to. */
export function workloadPorts(mesh: Mesh, workload: Workload): readonly WorkloadPort[] {
  const ports = new Map<number, AppProtocol>();
  for (const { port, protocol } of workload.ports) if (protocol === "TCP") ports.set(port, "auto");
  for (const service of mesh.services) {
    const endpoint = service.endpoints.find((candidate) => candidate.workload?.key === workload.key);
    if (endpoint === undefined) continue;
    for (const servicePort of service.ports) {
      const target =
        endpoint.portOverrides[servicePort.name ?? ""] ?? resolveTargetPort(servicePort, workload);
      if (target !== undefined && servicePort.protocol !== "udp") ports.set(target, servicePort.protocol);
    }
  }
  return [...ports].map(([port, protocol]) => ({ port, protocol })).sort((a, b) => a.port - b.port);
}
