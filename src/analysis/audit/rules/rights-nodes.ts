import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsNodes: AuditRule = {
  id: "BW0516",
  title: "A right to speak to the nodes' kubelets",
  severity: "high",
  attacks: ["C6"],
  what: "`get` or `create` on `nodes/proxy`. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "The kubelet runs commands in every pod of its node, and neither admission nor the audit log of the API server sees them.",
  fix: "Take it away; for metrics `nodes/metrics` is enough.",
  claims: ["rights-over-nodes"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["kubelet-api"]),
};
