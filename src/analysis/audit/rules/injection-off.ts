import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL, INJECT_LABEL, INJECTION_LABEL, REVISION_LABEL } from "../facts/injection-labels.ts";
import { isControlPlane, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const injectionOff: AuditRule = {
  id: "BW0813",
  title: "A pod that opts out of the mesh of its namespace",
  severity: "medium",
  attacks: ["M12", "M1"],
  what: 'A pod, or template of pods, with `sidecar.istio.io/inject: "false"` (label or annotation) in a namespace that is injected, or `istio.io/dataplane-mode: none` in an ambient one. Gateways and waypoints are proxies themselves, and are left out, as is what Istio installs. Jobs and CronJobs are `low`: nobody calls them.',
  why: "No proxy stands before it: it takes plaintext from anybody, no AuthorizationPolicy is enforced, and what it sends out is neither checked nor recorded. The namespace reads as if all of it were in the mesh.",
  fix: "Remove the label, or move the workload to a namespace that is not in the mesh.",
  claims: ["captured", "all-in-mesh"],
  check: optedOut,
};

function* optedOut(audit: AuditContext): Iterable<Hit> {
  const namespaces = new Map(audit.of("", "Namespace").map(({ name, labels }) => [name, labels]));
  const proxies = new Set(
    audit.mesh.workloads.filter(({ role }) => role !== "application").map(({ resource }) => resource),
  );
  for (const pod of audit.fact(podsOf)) {
    const own = namespaces.get(pod.namespace);
    if (own === undefined || isControlPlane(pod) || proxies.has(pod.resource)) continue;
    const isAmbient = own[DATAPLANE_LABEL] === "ambient";
    const isInjected = own[INJECTION_LABEL] === "enabled" || (own[REVISION_LABEL] ?? "") !== "";
    const inject = pod.labels[INJECT_LABEL] ?? pod.annotations[INJECT_LABEL];
    const field =
      isInjected && inject === "false"
        ? INJECT_LABEL
        : isAmbient && !isInjected && pod.labels[DATAPLANE_LABEL] === "none"
          ? DATAPLANE_LABEL
          : undefined;
    if (field === undefined) continue;
    const where = pod.labels[field] === undefined ? "annotations" : "labels";
    yield {
      resource: pod.resource,
      path: [...pod.at.slice(0, -1), "metadata", where, field],
      ...(/Job$/.test(pod.resource.kind) ? { severity: "low" as const } : {}),
      title: `\`${field}: ${pod[where][field]}\` keeps it out of the mesh that \`${pod.namespace}\` is in`,
    };
  }
}
