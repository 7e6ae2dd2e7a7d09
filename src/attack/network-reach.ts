import { networkPods } from "../control/netns/policy-rules.ts";
import { decideNetwork } from "../policy/network/decide-network.ts";
import type { NetworkPod } from "../policy/network/network-pod.ts";
import { type NetworkPolicies, networkPolicies } from "../policy/network/network-policies.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";

interface Below {
  readonly policies: NetworkPolicies;
  readonly pods: ReadonlyMap<PodAssignment, NetworkPod>;
}

const below = new WeakMap<MeshUnderAttack, Below>();

/**
 * Whether network policies let one pod's TCP through to another's, or to an address that is no pod's, where the substrate enforces
 * them; asked of the same decision as `can`. What is not known counts as not let through: it is asked for the legitimate variant, which has to pass.
 */
export function mayConnect(
  mesh: MeshUnderAttack,
  source: PodAssignment,
  to: PodAssignment | { readonly address: string },
  port: number,
): boolean {
  if (mesh.assignments.substrate !== "netns") return true;
  const { policies, pods } = belowOf(mesh);
  const from = pods.get(source);
  if (from === undefined) return false;
  const target = "workload" in to ? pods.get(to) : undefined;
  if ("workload" in to && target === undefined) return false;
  const other = target === undefined ? { address: to.address } : { pod: target };
  const out = { direction: "egress", subject: from, other, protocol: "TCP", port } as const;
  if (decideNetwork(policies, out).outcome !== "allow") return false;
  if (target === undefined) return true;
  const inwards = {
    direction: "ingress",
    subject: target,
    other: { pod: from },
    protocol: "TCP",
    port,
  } as const;
  return decideNetwork(policies, inwards).outcome === "allow";
}

function belowOf(mesh: MeshUnderAttack): Below {
  const known = below.get(mesh);
  if (known !== undefined) return known;
  const made = { policies: networkPolicies(mesh.mesh), pods: networkPods(mesh.mesh, mesh.assignments) };
  below.set(mesh, made);
  return made;
}
