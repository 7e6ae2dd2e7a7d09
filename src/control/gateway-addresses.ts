import type { Mesh } from "../model/mesh.ts";
import { socketPort } from "../model/placement.ts";
import { type MergedServer, mergeServers } from "../policy/outbound/gateway-servers.ts";
import { type Assignments, podKey, toPlacement } from "../substrate/assignment.ts";
import type { GatewayAddress } from "./messages.ts";

const SCHEMES: Readonly<Record<MergedServer["kind"], string>> = {
  http: "http",
  https: "https",
  tcp: "tcp",
  terminated: "tls",
  passthrough: "tls",
  "auto-passthrough": "tls",
};

/** Where each server of each gateway listens on this machine. */
export function gatewayAddresses(mesh: Mesh, assignments: Assignments): readonly GatewayAddress[] {
  const placement = toPlacement(assignments);
  return mesh.workloads
    .filter(({ role }) => role === "gateway")
    .flatMap((workload) => {
      const pods = assignments.pods.filter((pod) => pod.workload === workload.key);
      const ports = [...mergeServers(mesh, workload)];
      return pods.flatMap((pod) =>
        ports.flatMap(([port, servers]) =>
          servers.map(({ server, kind }) => ({
            pod: podKey(pod),
            gateway: server.gateway,
            url: `${SCHEMES[kind]}://${pod.address}:${socketPort(placement, port)}`,
            hosts: server.hosts,
            protocol: server.protocol,
            tlsMode: server.tls?.mode ?? null,
          })),
        ),
      );
    });
}
