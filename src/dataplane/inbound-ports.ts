import { resolveTargetPort } from "../model/build-services.ts";
import type { AppProtocol } from "../model/mesh.ts";
import { socketPort } from "../model/placement.ts";
import type { Snapshot } from "./proxy-environment.ts";
import type { ApplicationAddress } from "./proxy-options.ts";

/** The HTTP version that the application is declared to speak there; undefined where nothing, or several things, are said. */
export function declaredHttp({ mesh, workload }: Snapshot, port: number): "http1" | "http2" | undefined {
  const said = new Set<AppProtocol>();
  for (const { endpoints, ports } of mesh.services) {
    if (!endpoints.some((endpoint) => endpoint.workload === workload)) continue;
    for (const candidate of ports)
      if (resolveTargetPort(candidate, workload) === port) said.add(candidate.protocol);
  }
  const [only] = said;
  if (said.size !== 1) return undefined;
  return only === "http" ? "http1" : only === "http2" || only === "grpc" ? "http2" : undefined;
}

/** The service that a workload's port belongs to. */
export function serviceOf(snapshot: Pick<Snapshot, "mesh" | "workload">, port: number): string | undefined {
  const { mesh, workload } = snapshot;
  for (const service of mesh.services) {
    if (!service.endpoints.some((endpoint) => endpoint.workload === workload)) continue;
    if (service.ports.some((candidate) => candidate.targetPort === port || candidate.port === port))
      return service.hostname;
  }
  return undefined;
}

/** The sockets that a workload's sidecar opens: socket port → container port. */
export function inboundPorts(
  snapshot: Snapshot,
  application: ReadonlyMap<number, ApplicationAddress>,
): Map<number, number> {
  return new Map([...application.keys()].map((port) => [socketPort(snapshot.placement, port), port]));
}
