import { matchesLabels } from "../../../model/selector.ts";
import type { AuditContext } from "../audit-context.ts";
import { podsInMesh } from "../facts/pods-in-mesh.ts";
import { fieldsOf, labelsOf, listOf, selectorText } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const policySelectsNothing: AuditRule = {
  id: "BW0127",
  title: "An AuthorizationPolicy that no pod of the mesh is under",
  severity: "medium",
  same: { istio: "IST0127", kiali: "KIA0004" },
  attacks: [],
  what: "An AuthorizationPolicy whose selector takes no pod, or template of pods, that is in the mesh: of its namespace, or of any for one in the root namespace; or one without a selector in a namespace without such pods. Policies with `targetRefs` are for waypoints and gateways, and are left out.",
  why: "What it was written to protect is not protected, or is under another name by now.",
  fix: "Mend the selector, or remove the policy.",
  claims: ["policies-hold"],
  check: idle,
};

function* idle(audit: AuditContext): Iterable<Hit> {
  const pods = audit.fact(podsInMesh);
  const all = [...pods.values()].flat();
  for (const resource of audit.every("security.istio.io", "AuthorizationPolicy")) {
    const { selector, targetRef, targetRefs } = fieldsOf(resource.spec);
    if (targetRef !== undefined || listOf(targetRefs).length > 0) continue;
    const isRoot = resource.namespace === audit.mesh.config.rootNamespace;
    if (isRoot && selector === undefined) continue;
    const labels = labelsOf(fieldsOf(selector).matchLabels);
    const candidates = isRoot ? all : (pods.get(resource.namespace) ?? []);
    if (candidates.some((pod) => matchesLabels(labels, pod.labels))) continue;
    const whom = selector === undefined ? "" : ` with \`${selectorText(labels)}\``;
    yield {
      resource,
      path: selector === undefined ? ["metadata", "name"] : ["spec", "selector"],
      title: `no pod of the mesh${isRoot ? "" : ` in \`${resource.namespace}\``}${whom}`,
    };
  }
}
