/** Where in a pod an attacker stands. */
import { PROXY_UID } from "../dataplane/capture/captured-ports.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Address } from "./wire.ts";

/**
 * Past the pod's own sidecar, from the pod's address. On the loopback substrate any process is; in a network namespace whoever is root
 * of the pod, or has taken its sidecar: what the proxy's user sends is not captured.
 */
export function pastSidecar({ address, network }: PodAssignment): Pick<Address, "localAddress" | "inside"> {
  if (network === undefined) return { localAddress: address };
  const { namespace, firstUid } = network;
  return { localAddress: address, inside: { namespace, uid: firstUid + PROXY_UID } };
}
