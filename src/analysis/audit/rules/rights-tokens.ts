import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsTokens: AuditRule = {
  id: "BW0519",
  title: "A right to have tokens of any account",
  severity: "high",
  attacks: ["C2", "E4"],
  what: "`create` on `serviceaccounts/token`. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "A token of an account is its identity at the API server, and with the audience `istio-ca` its identity in the mesh: istiod signs a certificate for it.",
  fix: "Name the accounts by `resourceNames`, in a Role of their namespace.",
  claims: ["rights-over-tokens"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["mint-tokens"]),
};
