/** Where a ztunnel sends for its pods, in the form that two meshes can be compared by. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import { type AmbientEnd, ambientRoute } from "../../../policy/ambient/ambient-route.ts";
import { isHostSubset } from "../../../policy/outbound/host-name.ts";
import { meshDirectory } from "../../../policy/path/compiled-policies.ts";
import { ITSELF, type Way } from "./ways.ts";

/** Why not, where it is a text. */
export function waysByZtunnel(
  mesh: Mesh,
  client: Workload,
  host: string,
  port: number,
): readonly Way[] | string {
  const directory = meshDirectory(mesh);
  const { service, ends } = ambientRoute(mesh, client, { host, port }, { directory });
  if (ends === null) return [PASSED_ON];
  const to = service === undefined || isHostSubset(host, service.hostname) ? ITSELF : service.hostname;
  const ways: Way[] = [];
  for (const end of ends) {
    if (end.kind === "unknown") return end.why;
    ways.push(wayTo(end, to));
  }
  return ways;
}

const PASSED_ON: Way = { to: ITSELF, tls: "plaintext", leaves: true, byGateway: false };

function wayTo(end: Exclude<AmbientEnd, { readonly kind: "unknown" }>, to: string): Way {
  switch (end.kind) {
    case "outside":
      return PASSED_ON;
    case "pod":
      return {
        to,
        tls: end.hbone ? "mtls" : "plaintext",
        leaves: false,
        byGateway: end.workload.role === "gateway",
      };
    case "waypoint":
      return { to, tls: "mtls", leaves: false, byGateway: false, byWaypoint: true };
  }
}
