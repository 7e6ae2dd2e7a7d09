/** What NetworkPolicies leave open, as far as files tell: nothing is said where another network's policies are among them. */
import type { Workload } from "../../../model/mesh.ts";
import { decideNetwork } from "../../../policy/network/decide-network.ts";
import { type NetworkPod, networkPod, selects } from "../../../policy/network/network-pod.ts";
import { type NetworkPolicy, networkPolicies } from "../../../policy/network/network-policies.ts";
import type { AuditContext } from "../audit-context.ts";

const OTHERS =
  /^(CiliumNetworkPolicy|CiliumClusterwideNetworkPolicy|GlobalNetworkPolicy|ClusterNetworkPolicy|EgressFirewall)$/;

/** Whether the cluster's network has policies that are not read here. */
export function hasForeignNetworkPolicies({ mesh }: AuditContext): boolean {
  return mesh.resources.some(
    ({ kind, apiVersion }) =>
      OTHERS.test(kind) || (kind === "NetworkPolicy" && !apiVersion.startsWith("networking.k8s.io/")),
  );
}

/** Whether any policy, of whatever tier, isolates the workload in the direction. */
export function isIsolated(
  audit: AuditContext,
  workload: Workload,
  direction: "ingress" | "egress",
): boolean {
  const { mesh } = audit;
  const pod = networkPod(mesh, workload);
  const { admin, baseline } = networkPolicies(mesh);
  const own = audit.fact(policiesByNamespace).get(workload.namespace) ?? [];
  return [...own, ...admin, ...baseline].some(
    (policy) => policy[direction] !== null && selects(policy.subject, pod),
  );
}

function policiesByNamespace({ mesh }: AuditContext): ReadonlyMap<string, readonly NetworkPolicy[]> {
  return Map.groupBy(networkPolicies(mesh).policies, ({ resource }) => resource.namespace);
}

/** Whether a pod of which nothing is known, in a namespace of which nothing is known, gets to the port. */
export function isOpenToAnyPod({ mesh }: AuditContext, workload: Workload, port: number): boolean {
  const { outcome } = decideNetwork(networkPolicies(mesh), {
    direction: "ingress",
    subject: networkPod(mesh, workload),
    other: { pod: STRANGER },
    protocol: "TCP",
    port,
  });
  return outcome === "allow";
}

const STRANGER: NetworkPod = {
  name: "another namespace's pod",
  namespace: "bulwark-any-other",
  namespaceLabels: { "kubernetes.io/metadata.name": "bulwark-any-other" },
  labels: {},
  ports: [],
  addresses: [],
  hostNetwork: false,
};
