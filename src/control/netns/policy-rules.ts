import type { Mesh } from "../../model/mesh.ts";
import { addressesOf } from "../../model/placement.ts";
import { type NetworkPod, networkPod } from "../../policy/network/network-pod.ts";
import { hasNetworkPolicies, networkPolicies } from "../../policy/network/network-policies.ts";
import { nftablesScript } from "../../policy/network/nftables.ts";
import type { Assignments, PodAssignment } from "../../substrate/assignment.ts";
import { POLICY_PRIORITY, POLICY_TABLE, REFUSED_MARK } from "../../substrate/netns/fabric-rules.ts";

/** Every pod as network policies see it, at its addresses. */
export function networkPods(mesh: Mesh, { pods }: Assignments): ReadonlyMap<PodAssignment, NetworkPod> {
  const workloads = new Map(mesh.workloads.map((workload) => [workload.key, workload]));
  return new Map(
    pods.flatMap((pod) => {
      const workload = workloads.get(pod.workload);
      return workload === undefined
        ? []
        : [[pod, { ...networkPod(mesh, workload), addresses: addressesOf(pod) }] as const];
    }),
  );
}

let generation = 0;

function nextGeneration(): number {
  generation += 1;
  return generation;
}

/** The mesh's network policies for the namespace that forwards: one transaction, which replaces those of before. */
export function policyRules(mesh: Mesh, assignments: Assignments): string {
  const policies = networkPolicies(mesh);
  if (!hasNetworkPolicies(policies)) return `table ${POLICY_TABLE} {}\ndelete table ${POLICY_TABLE}\n`;
  return nftablesScript(policies, [...networkPods(mesh, assignments).values()], {
    table: POLICY_TABLE,
    priority: POLICY_PRIORITY,
    refusal: { mark: REFUSED_MARK },
    generation: nextGeneration(),
  });
}
