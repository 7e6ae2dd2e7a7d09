import type { AuditContext } from "../audit-context.ts";
import { baselineBreaches, breachHit, meshPodSet } from "../facts/pod-security.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podPrivileged: AuditRule = {
  id: "BW0501",
  title: "A container that is its node",
  severity: "high",
  attacks: ["C1", "C6"],
  what: "`privileged: true` on a container of a pod outside of the mesh (inside of it the same is BW0812, at Istio's own containers BW0720). Kubernetes' own namespaces (`kube-…`) and Istio's components are left out. Control *Privileged Containers* of the Pod Security Standards.",
  why: "It has every device and every capability of the node: whoever takes over the process takes over the node, and with it the keys and tokens of all pods on it.",
  fix: "Remove `privileged`, and add the one capability that is needed; what has to change nodes belongs into a namespace of its own, on nodes of its own.",
  claims: ["pods-unprivileged"],
  check: privileged,
};

function* privileged(audit: AuditContext): Iterable<Hit> {
  const inMesh = audit.fact(meshPodSet);
  for (const breach of audit.fact(baselineBreaches))
    if (breach.control === "privileged" && !inMesh.has(breach.pod)) yield breachHit(breach);
}
