import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL, INJECT_LABEL, INJECTION_LABEL, REVISION_LABEL } from "../facts/injection-labels.ts";
import { type AuditedPod, containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import { labelsOfNamespace } from "../facts/waypoint-labels.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sidecarAndAmbient: AuditRule = {
  id: "BW0312",
  title: "A pod with a sidecar where ambient mode is asked for",
  severity: "low",
  same: { kiali: "KIA1316" },
  attacks: ["M12"],
  what: "Pods, and templates, in ambient mode by their own label or their namespace's, that have a sidecar all the same: a container `istio-proxy` (`KIA1315` where the label is the pod's own), `sidecar.istio.io/inject: \"true\"` or a revision (`KIA1311`); and pods with a sidecar that ztunnel serves, as their annotation says (`KIA1314`). Namespaces whose labels contradict each other are BW0123.",
  why: "The sidecar wins: policies with `targetRefs` and waypoints, which the namespace relies on, are not in force for this pod, while its neighbours are under them.",
  fix: "Take the sidecar away, or write `istio.io/dataplane-mode: none` on the pod and policies with a selector for it.",
  claims: ["captured"],
  check: both,
};

const REDIRECTION = "ambient.istio.io/redirection";

function* both(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf)) {
    const inNamespace = labelsOfNamespace(audit, pod.namespace);
    const own = pod.labels[DATAPLANE_LABEL];
    const isAmbient = (own ?? inNamespace[DATAPLANE_LABEL]) === "ambient";
    const isRedirected = pod.annotations[REDIRECTION] === "enabled";
    if (!isAmbient && !isRedirected) continue;
    const sidecar = sidecarOf(pod) ?? (own === undefined ? undefined : sidecarOfNamespace(inNamespace));
    if (sidecar === undefined) continue;
    const kiali = isRedirected ? "KIA1314" : codeOf(sidecar, own !== undefined);
    yield { resource: pod.resource, kiali, title: `in ambient mode, and with a sidecar: ${sidecar.text}` };
  }
}

interface SaidSidecar {
  readonly text: string;
  readonly isContainer: boolean;
}

function codeOf({ isContainer }: SaidSidecar, isLabelOwn: boolean): string {
  if (!isContainer) return "KIA1311";
  return isLabelOwn ? "KIA1315" : "KIA1316";
}

function sidecarOf(pod: AuditedPod): SaidSidecar | undefined {
  if (containersOf(pod).some(({ name }) => name === PROXY_CONTAINER))
    return { text: `container \`${PROXY_CONTAINER}\``, isContainer: true };
  const inject = pod.labels[INJECT_LABEL] ?? pod.annotations[INJECT_LABEL];
  if (inject !== undefined)
    return inject === "true" ? { text: `\`${INJECT_LABEL}: "true"\``, isContainer: false } : undefined;
  const revision = pod.labels[REVISION_LABEL] ?? "";
  return revision === "" ? undefined : { text: `\`${REVISION_LABEL}: ${revision}\``, isContainer: false };
}

/** For a pod whose own label puts it into ambient mode. */
function sidecarOfNamespace(labels: Readonly<Record<string, string>>): SaidSidecar | undefined {
  const revision = labels[REVISION_LABEL] ?? "";
  if (labels[INJECTION_LABEL] === "enabled") return { text: "the namespace is injected", isContainer: false };
  return revision === ""
    ? undefined
    : { text: `the namespace is of revision \`${revision}\``, isContainer: false };
}
