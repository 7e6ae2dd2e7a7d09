import type { AuditContext } from "../audit-context.ts";
import { hasForeignNetworkPolicies, isIsolated } from "../facts/network-cover.ts";
import { SYSTEM_NAMESPACES } from "../facts/pods.ts";
import { sensitiveNamespaces } from "../facts/sensitive-namespaces.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const namespaceUnsegmented: AuditRule = {
  id: "BW0805",
  title: "A namespace without any NetworkPolicy",
  severity: "low",
  attacks: ["E1", "M12"],
  what: "Namespaces with applications of which no NetworkPolicy, AdminNetworkPolicy or BaselineAdminNetworkPolicy selects a single one; the root namespace, Kubernetes' own and those that are marked sensitive (BW0806) are left out. Nothing is told where policies of another network (Cilium, Calico …) are among the files.",
  why: "The mesh alone stands between its pods and all others: what goes past the proxy (an excluded port, a pod without one, UDP, a host's network) is stopped by nothing.",
  fix: "Add a NetworkPolicy that denies by default, and let in what is meant (`bulwark tighten` proposes it).",
  claims: ["network-segmented"],
  check: unsegmented,
};

function* unsegmented(audit: AuditContext): Iterable<Hit> {
  if (audit.fact(hasForeignNetworkPolicies)) return;
  const { mesh } = audit;
  const sensitive = audit.fact(sensitiveNamespaces);
  const resources = new Map(audit.of("", "Namespace").map((resource) => [resource.name, resource]));
  const applications = mesh.workloads.filter(
    ({ role, kind }) => role === "application" && kind !== "WorkloadEntry",
  );
  for (const [name, workloads] of Map.groupBy(applications, ({ namespace }) => namespace)) {
    if (name === mesh.config.rootNamespace || SYSTEM_NAMESPACES.has(name) || sensitive.has(name)) continue;
    const [first] = workloads;
    if (first === undefined || workloads.some((one) => isBounded(audit, one))) continue;
    yield {
      resource: resources.get(name) ?? first.resource,
      title: `no NetworkPolicy selects any of the ${workloads.length === 1 ? "pods of its workload" : `${workloads.length} workloads`} in \`${name}\``,
    };
  }
}

function isBounded(audit: AuditContext, workload: Parameters<typeof isIsolated>[1]): boolean {
  return isIsolated(audit, workload, "ingress") || isIsolated(audit, workload, "egress");
}
