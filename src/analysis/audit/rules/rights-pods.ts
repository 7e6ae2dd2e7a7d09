import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsPods: AuditRule = {
  id: "BW0513",
  title: "A right to run anything, as any account",
  severity: "medium",
  attacks: ["C1", "C6"],
  what: "Creating pods or what makes pods, changing the image of running ones, running commands in them (`pods/exec`, `pods/attach`) or adding containers to them. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "A pod runs as any account of its namespace and mounts any of its Secrets: creating pods everywhere is having every identity. A command in a pod has the identity of that pod.",
  fix: "Give it by a RoleBinding in the namespaces where it is needed; have Pod Security Standards enforced there.",
  claims: ["rights-over-pods"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["create-pods", "change-pods", "exec"]),
};
