import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsWebhooks: AuditRule = {
  id: "BW0518",
  title: "A right over admission webhooks",
  severity: "high",
  attacks: ["C6", "M12"],
  what: "Creating or changing webhook configurations (mutating or validating) or MutatingAdmissionPolicies. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. What BW0870 tells of workloads' accounts is not told again; everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces (`system:…`, `kube-…`) and Istio's control plane are left out.",
  why: "A mutating webhook changes every object as it is written: it leaves out sidecars, or adds containers to every pod; a validating one is shown every Secret as it is written.",
  fix: "Give it to whom installs them alone, with `resourceNames`.",
  claims: ["rights-over-webhooks"],
  check: (audit: AuditContext): Iterable<Hit> => hitsOfRights(audit, ["write-webhooks", "read-admitted"]),
};
