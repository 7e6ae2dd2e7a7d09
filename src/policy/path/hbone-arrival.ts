/** What reaches a pod through the tunnel of ambient mode: its client is known, whatever is inside. */
import type { Workload } from "../../model/mesh.ts";
import type { Arrival, Sender } from "./journey.ts";

export function hboneArrival(
  workload: Workload,
  { port, address }: { readonly port: number; readonly address: string },
  { ip, principal }: Sender,
): Arrival {
  return {
    workload,
    port,
    destinationIp: address,
    sourceIp: ip,
    tls: "mtls",
    principal,
    alpn: [],
    hbone: true,
  };
}
