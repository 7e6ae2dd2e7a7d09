/** How a client's own data plane speaks to a server: as whom the server knows it, and which port networks see. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { takesHbone } from "../../policy/ambient/hbone.ts";
import { ALL_PORTS, hasPort, NO_PORTS, type PortSet } from "../../policy/network/port-set.ts";

/** `hbone`: the tunnel of ambient mode. Both it and `mtls` carry the client's identity; `clear` carries none. */
export type MeshWay = "clear" | "mtls" | "hbone";

/** Where ztunnels, waypoints and sidecars take HBONE. */
export const HBONE_PORT = 15_008;

/**
 * Pods in ambient mode are spoken to by HBONE. Ztunnels and waypoints speak nothing else to a sidecar, and where it takes none they
 * pass bytes on in clear.
 * @param client undefined: nobody of the mesh.
 */
export function meshWay(mesh: Mesh, client: Workload | undefined, server: Workload): MeshWay {
  if (client === undefined || client.dataplane === "none" || server.dataplane === "none") return "clear";
  if (server.dataplane === "ambient") return "hbone";
  if (client.dataplane === "sidecar" && client.role !== "waypoint") return "mtls";
  return takesHbone(mesh, server) ? "hbone" : "clear";
}

/** The server's ports that a client reaches where networks let it connect to these: inside of the tunnel they see none. */
export function portsBehind(way: MeshWay, connected: PortSet): PortSet {
  if (way !== "hbone") return connected;
  return hasPort(connected, HBONE_PORT) ? ALL_PORTS : NO_PORTS;
}
