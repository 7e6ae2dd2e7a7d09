import type { GatewaySpec, Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Resource } from "../../resources/resource.ts";

/**
 * Whose TCP the firewall lets out of the mesh. Where a gateway serves names of hosts outside, it is the only way: that is what it
 * is for. Without one, each sidecar's own egress is.
 * @returns asks for one workload.
 */
export function leavingWorkloads(mesh: Mesh): (workload: Workload) => boolean {
  const outside = mesh.services.filter(({ external, origin }) => external && origin === "service-entry");
  const names = outside.map(({ hostname }) => hostname.toLowerCase());
  const egress = mesh.gateways.filter((gateway) => servesAny(gateway, names));
  const isEgressGateway = ({ role, labels }: Workload): boolean =>
    role === "gateway" && egress.some(({ spec }) => matchesLabels(spec.selector ?? {}, labels));
  return mesh.workloads.some(isEgressGateway) ? isEgressGateway : () => true;
}

function servesAny({ spec }: Resource<GatewaySpec>, names: readonly string[]): boolean {
  const hosts = (spec.servers ?? []).flatMap(({ hosts: listed }) => listed ?? []);
  return hosts.some((host) =>
    names.some((name) => overlap(host.slice(host.indexOf("/") + 1).toLowerCase(), name)),
  );
}

function overlap(a: string, b: string): boolean {
  if (a === b || a === "*") return true;
  if (a.startsWith("*")) return b.replace(/^\*/, "").endsWith(a.slice(1));
  return b.startsWith("*") && a.endsWith(b.slice(1));
}
