import { Rbac } from "../../blast/rbac.ts";
import { type Right, rightsOf } from "../../blast/rbac-rights.ts";
import type { AuditContext } from "../audit-context.ts";
import { RULING_RIGHTS } from "../facts/bound-rights.ts";
import { isIstiod, isNodeAgent } from "../facts/istio-components.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const accountRulesCluster: AuditRule = {
  id: "BW0870",
  title: "A workload whose rights come to those of the cluster",
  severity: "high",
  attacks: ["C1", "C7"],
  what: "A service account that a workload runs as, with a right in the whole cluster that leads to every other: everything; impersonating anybody; binding or escalating roles; writing mutating webhooks; creating pods, or running commands in them, anywhere; tokens of any account; the kubelets' API. istiod, ztunnel, the CNI plugin and Kubernetes' own namespaces are left out. One finding an account.",
  why: "Whoever takes over one of its pods has its token, and with it the API server, every Secret and every identity of the mesh.",
  fix: "Give the account a Role of the namespaces and objects that it needs, without these verbs.",
  claims: [
    "rights-bounded",
    "rights-of-all",
    "rights-of-escalation",
    "rights-over-pods",
    "rights-over-tokens",
    "rights-over-webhooks",
    "rights-over-nodes",
  ],
  check: rulers,
};

function* rulers(audit: AuditContext): Iterable<Hit> {
  const rbac = new Rbac(audit.mesh.resources);
  const own = audit.mesh.workloads.filter(
    (workload) => !isIstiod(workload) && !isNodeAgent(workload) && !workload.namespace.startsWith("kube-"),
  );
  for (const workloads of Map.groupBy(
    own,
    ({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`,
  ).values()) {
    const [first] = workloads;
    if (first === undefined) continue;
    const rights = rightsOf(rbac.grantsOf(first.namespace, first.serviceAccount)).filter(isRuling);
    const [gravest] = rights;
    if (gravest === undefined) continue;
    yield {
      resource: gravest.grants[0].binding,
      path: ["roleRef"],
      title: `\`${first.key}\` may ${[...new Set(rights.map(({ text }) => text))].slice(0, 3).join(", ")} in the whole cluster, as account \`${first.serviceAccount}\``,
    };
  }
}

function isRuling({ kind, scope }: Right): boolean {
  return RULING_RIGHTS.has(kind) && scope.namespace === null && scope.names.length === 0;
}
