import type { AuditContext } from "../audit-context.ts";
import { isIstiod, isNodeAgent, istiods } from "../facts/istio-components.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const controlPlaneShared: AuditRule = {
  id: "BW0801",
  title: "Others in the control plane's namespace",
  severity: "medium",
  attacks: ["C6", "C7"],
  what: "A workload of the mesh, or a gateway, in the namespace that istiod runs in (`low` for a gateway). istiod, ztunnel, the CNI agent and what has no proxy are not told.",
  why: "Whoever may create pods in a namespace takes any account of it and reads its Secrets: here istiod's account and the mesh's signing key. A gateway is the part of the mesh that outsiders reach first, and its Role for its certificates is one for this namespace's Secrets.",
  fix: "Give gateways and applications namespaces of their own.",
  claims: ["control-plane-isolated"],
  check: lodgers,
};

function* lodgers(audit: AuditContext): Iterable<Hit> {
  const homes = new Set(audit.fact(istiods).map(({ namespace }) => namespace));
  for (const workload of audit.mesh.workloads) {
    if (!homes.has(workload.namespace) || isIstiod(workload) || isNodeAgent(workload)) continue;
    const isGateway = workload.role === "gateway";
    if (!isGateway && (workload.role !== "application" || workload.dataplane === "none")) continue;
    yield {
      resource: workload.resource,
      path: ["metadata", "namespace"],
      ...(isGateway ? { severity: "low" as const } : {}),
      title: `${isGateway ? "a gateway" : "an application"} in \`${workload.namespace}\`, where istiod is`,
    };
  }
}
