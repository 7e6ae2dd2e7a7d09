import { BulwarkError, type BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import {
  type PodAssignment,
  podKey,
  podsOfZtunnel,
  type ZtunnelAssignment,
} from "../../substrate/assignment.ts";

/** What a ztunnel asks for: a certificate for this pod, and for no other identity than the pod's own. */
export interface OnBehalf {
  /** `namespace/name` */
  readonly pod: string;
  readonly identity: string;
}

/**
 * The pod that a ztunnel may speak for: a live ambient pod on its own node, by exactly that pod's identity. Narrower than what Istio grants a node agent, which
 * may have the identity of whatever runs on its node.
 * @throws {BulwarkError} BW_CA_IMPERSONATION_NODE, BW_CA_IMPERSONATION_NOT_AMBIENT, BW_CA_IMPERSONATION_IDENTITY.
 */
export function authorizeOnBehalf(
  ztunnel: ZtunnelAssignment,
  { pod: name, identity }: OnBehalf,
  pods: readonly PodAssignment[],
): PodAssignment {
  const here = pods.find((pod) => podKey(pod) === name && pod.network?.node === ztunnel.node);
  if (here === undefined)
    refuse(
      "BW_CA_IMPERSONATION_NODE",
      `a ztunnel asks for a pod that does not run on its node ${ztunnel.node}`,
    );
  if (!podsOfZtunnel(ztunnel, pods).includes(here))
    refuse("BW_CA_IMPERSONATION_NOT_AMBIENT", "a ztunnel asks for a pod that is not in ambient mode");
  if (here.spiffeId !== identity)
    refuse(
      "BW_CA_IMPERSONATION_IDENTITY",
      "a ztunnel asks for another identity than that of the pod it names",
    );
  return here;
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
