import type { Workload } from "../../../model/mesh.ts";
import type { AuditContext } from "../audit-context.ts";
import { gateways, istiods } from "../facts/istio-components.ts";
import { type AuditedPod, podsOf } from "../facts/pods.ts";
import { fieldsOf, listOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const componentsAmongApplications: AuditRule = {
  id: "BW0803",
  title: "A control plane or gateway on any node",
  severity: "low",
  attacks: ["C5"],
  what: "istiod and gateways whose pods nothing keeps on nodes of their own: no `nodeSelector` besides `kubernetes.io/…`, no node affinity that is required, no node by name.",
  why: "They run beside applications. Whoever breaks out of one of these onto the node has istiod's rights, or the gateway's certificates, with it.",
  fix: "Set a `nodeSelector` for nodes that are tainted, so that nothing else runs there, and a toleration for the taint.",
  claims: ["control-plane-isolated"],
  check: unplaced,
};

function* unplaced(audit: AuditContext): Iterable<Hit> {
  const pods = new Map(audit.fact(podsOf).map((pod) => [pod.resource, pod]));
  const components = [
    ...audit.fact(istiods).map((workload) => ({ workload, what: "istiod" })),
    ...audit.fact(gateways).map((workload) => ({ workload, what: "a gateway" })),
  ];
  for (const { workload, what } of components) {
    const pod = pods.get(workload.resource);
    if (pod === undefined || isPlaced(pod)) continue;
    yield { resource: pod.resource, path: pod.at, title: titleOf(workload, what) };
  }
}

function titleOf({ key }: Workload, what: string): string {
  return `\`${key}\`, ${what}, runs on any node, beside applications`;
}

function isPlaced({ spec }: AuditedPod): boolean {
  if (spec.nodeName !== undefined) return true;
  const selected = Object.keys(fieldsOf(spec.nodeSelector)).some(
    (key) => !/^(beta\.)?kubernetes\.io\//.test(key),
  );
  const { nodeAffinity } = fieldsOf(spec.affinity);
  const required = fieldsOf(fieldsOf(nodeAffinity).requiredDuringSchedulingIgnoredDuringExecution);
  return selected || listOf(required.nodeSelectorTerms).length > 0;
}
