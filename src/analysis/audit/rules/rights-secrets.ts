import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsSecrets: AuditRule = {
  id: "BW0512",
  title: "A right to read every Secret",
  severity: "medium",
  attacks: ["C1", "C6"],
  what: "`get`, `list` or `watch` on Secrets: `list` shows what is in them, too. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "Secrets hold the CA's key, gateways' keys and tokens of accounts: who reads them is who he wants to be, in the mesh and at the API server.",
  fix: "Give a Role of the one namespace, with `resourceNames`, and `get` alone.",
  claims: ["rights-over-secrets"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["read-secrets"]),
};
