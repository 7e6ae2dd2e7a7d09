import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsEscalation: AuditRule = {
  id: "BW0514",
  title: "A right to give oneself rights",
  severity: "high",
  attacks: ["C6"],
  what: "`impersonate` on users, groups or service accounts; `bind` on roles with the right to write bindings; `escalate` with the right to write roles. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "It is every right, by one more request: whoever may bind `cluster-admin` is it.",
  fix: "Take `bind`, `escalate` and `impersonate` away, or name the roles and accounts by `resourceNames`.",
  claims: ["rights-of-escalation"],
  check: (audit: AuditContext): Iterable<Hit> =>
    hitsOfRights(audit, ["impersonate-accounts", "impersonate-anybody", "grant-roles"]),
};
