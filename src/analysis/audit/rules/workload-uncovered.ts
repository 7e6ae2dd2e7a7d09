import type { Workload } from "../../../model/mesh.ts";
import type { AuditContext } from "../audit-context.ts";
import { INJECT_LABEL, REVISION_LABEL } from "../facts/injection-labels.ts";
import { isIstiod, isNodeAgent } from "../facts/istio-components.ts";
import { containersOf, PROXY_CONTAINER, podsByNamespace } from "../facts/pods.ts";
import { serverClasses } from "../facts/server-classes.ts";
import { fieldsOf, listOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const workloadUncovered: AuditRule = {
  id: "BW0301",
  title: "A workload that no AuthorizationPolicy is for",
  severity: "medium",
  same: { kiali: "KIA1301" },
  attacks: ["C1", "M9"],
  what: "Applications of the mesh, before which a proxy stands, to which no AuthorizationPolicy applies, of whatever action: of their namespace or the root namespace, with a selector that takes them or none. One finding a workload; `low` where it declares no port and no Service leads to it. Gateways, waypoints and Istio's own are not told, nor pods of the root namespace that nothing in the files has injected (Istio is installed without a label there), nor ambient workloads of a namespace with policies that have `targetRefs`, which a waypoint asks.",
  why: "Everybody in the mesh, and where plaintext is taken everybody, gets in and may do everything: one workload that is taken over reaches all of these.",
  fix: "Add an AuthorizationPolicy with an empty `spec` to the root namespace, which lets in nobody, and one for each workload that says who may (`bulwark tighten` proposes them).",
  claims: ["default-deny"],
  check: uncovered,
};

function* uncovered(audit: AuditContext): Iterable<Hit> {
  const targeted = namespacesWithTargets(audit);
  for (const server of audit.fact(serverClasses)) {
    if ((!server.isSidecar && !server.isAmbient) || server.authorization.length > 0) continue;
    const isCalled = server.workload.ports.length > 0 || server.ports.size > 0;
    for (const workload of server.workloads) {
      if (isIstiod(workload) || isNodeAgent(workload) || isInstalledBeside(audit, workload)) continue;
      if (server.isAmbient && targeted.has(workload.namespace)) continue;
      yield {
        resource: workload.resource,
        ...(isCalled ? {} : { severity: "low" as const }),
        title: `no AuthorizationPolicy is for \`${workload.key}\``,
      };
    }
  }
}

/** What stands beside istiod (its consoles, its metrics) is outside of the mesh, unless the files say otherwise. */
function isInstalledBeside(audit: AuditContext, { namespace, labels, resource }: Workload): boolean {
  if (namespace !== audit.mesh.config.rootNamespace) return false;
  if (labels[INJECT_LABEL] !== undefined || labels[REVISION_LABEL] !== undefined) return false;
  if (audit.every("", "Namespace").some(({ name }) => name === namespace)) return false;
  const own = audit.fact(podsByNamespace).get(namespace) ?? [];
  const pod = own.find((one) => one.resource === resource);
  return pod !== undefined && !containersOf(pod).some(({ name }) => name === PROXY_CONTAINER);
}

/** What a waypoint asks before a Service is not held against its workloads one by one: doubt is not told. */
function namespacesWithTargets({ mesh }: AuditContext): ReadonlySet<string> {
  const targeting = mesh.authorizationPolicies.filter(({ spec }) => {
    const { targetRef, targetRefs } = fieldsOf(spec);
    return targetRef !== undefined || listOf(targetRefs).length > 0;
  });
  return new Set(targeting.map(({ namespace }) => namespace));
}
