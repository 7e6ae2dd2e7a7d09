import type { AuditContext } from "../audit-context.ts";
import { labelledNamespaces } from "../facts/injection-labels.ts";
import { isControlPlane, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const hostNetworkInMesh: AuditRule = {
  id: "BW0811",
  title: "A pod on the node's network in a namespace of the mesh",
  severity: "medium",
  attacks: ["M12", "M10"],
  what: "`hostNetwork: true` in a namespace whose pods are in the mesh by its labels. Istio's own pods are left out.",
  why: "Neither a sidecar nor ztunnel stands before it: it takes plaintext, sends with no identity, and no policy of the mesh is enforced; NetworkPolicies do not hold for it in many networks. It sees the traffic of the node, and its loopback.",
  fix: "Take `hostNetwork` away, or move the pod to a namespace that is not in the mesh, and name its address where it is called.",
  claims: ["captured"],
  check: hostNetworked,
};

function* hostNetworked(audit: AuditContext): Iterable<Hit> {
  const inMesh = audit.fact(labelledNamespaces);
  for (const pod of audit.fact(podsOf)) {
    if (pod.spec.hostNetwork !== true || !inMesh.has(pod.namespace)) continue;
    if (isControlPlane(pod) || pod.labels.app === "ztunnel") continue;
    yield {
      resource: pod.resource,
      path: [...pod.at, "hostNetwork"],
      title: `it is on its node's network: the mesh of \`${pod.namespace}\` does not stand before it`,
    };
  }
}
