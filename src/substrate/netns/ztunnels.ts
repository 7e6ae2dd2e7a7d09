import { randomUUID } from "node:crypto";
import type { Mesh } from "../../model/mesh.ts";
import { parseTrustDomain, workloadSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Assignments, PodAssignment, ZtunnelAssignment } from "../assignment.ts";

/** The account that ztunnels ask the CA with, as Istio's charts name it. */
export const ZTUNNEL_NAMESPACE = "istio-system";
export const ZTUNNEL_ACCOUNT = "ztunnel";

/** One for each node that has an ambient pod. One that was there stays the same, so that its token stays good. */
export function placeZtunnels(
  mesh: Mesh,
  pods: readonly PodAssignment[],
  previous: Assignments,
): readonly ZtunnelAssignment[] {
  const nodes = new Set(
    pods.flatMap(({ ambient, network }) => (ambient === true && network !== undefined ? [network.node] : [])),
  );
  const known = new Map((previous.ztunnels ?? []).map((ztunnel) => [ztunnel.node, ztunnel]));
  return [...nodes].sort().map((node) => ({
    name: `ztunnel-${node}`,
    namespace: ZTUNNEL_NAMESPACE,
    workload: `${ZTUNNEL_NAMESPACE}/${ZTUNNEL_ACCOUNT}`,
    uid: known.get(node)?.uid ?? randomUUID(),
    serviceAccount: ZTUNNEL_ACCOUNT,
    spiffeId: identityIn(mesh),
    node,
  }));
}

function identityIn({ config }: Mesh): string {
  const domain = parseTrustDomain(config.trustDomain);
  if (domain === undefined)
    throw new BulwarkError("BW_TRUST_DOMAIN_INVALID", "the mesh's trustDomain is not a proper name");
  return workloadSpiffeId(domain, ZTUNNEL_NAMESPACE, ZTUNNEL_ACCOUNT);
}
