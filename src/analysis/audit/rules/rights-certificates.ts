import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsCertificates: AuditRule = {
  id: "BW0517",
  title: "A right to have certificates signed for anybody",
  severity: "high",
  attacks: ["C6"],
  what: "Creating and approving CertificateSigningRequests, with `approve` on signers. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "The API server's CA then signs a certificate for any user and group: an identity that no rule of RBAC takes back.",
  fix: "Leave approval to Kubernetes' controller, or name the signer by `resourceNames`.",
  claims: ["rights-over-certificates"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["approve-certificates"]),
};
