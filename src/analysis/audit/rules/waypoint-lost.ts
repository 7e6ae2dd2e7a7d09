import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL } from "../facts/injection-labels.ts";
import { type AuditedPod, podsOf } from "../facts/pods.ts";
import { isAmbientNamespace, USE_WAYPOINT, USE_WAYPOINT_NAMESPACE } from "../facts/waypoint-labels.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const waypointLost: AuditRule = {
  id: "BW0311",
  title: "A waypoint that is asked for, and is not there or not gone through",
  severity: "medium",
  same: { kiali: "KIA1313" },
  attacks: ["M9"],
  what: "`istio.io/use-waypoint` of a Namespace, Service, ServiceEntry or pod that names a Gateway (Gateway API) which the files do not have in its namespace or that of `istio.io/use-waypoint-namespace`; and the label on a Namespace, or on a pod, that is not in ambient mode (`KIA1312`). `none` and an empty name ask for none. `info` where the files have no such Gateways at all.",
  why: "Traffic goes past it, straight to the pods: policies for the waypoint are enforced by nobody. Whoever makes a Gateway of that name stands in the middle.",
  fix: "Make the waypoint, or mend the name; put the namespace into ambient mode (`istio.io/dataplane-mode: ambient`).",
  claims: ["policies-hold", "configuration-in-force"],
  check: lost,
};

const GROUP = "gateway.networking.k8s.io";

interface Asking {
  readonly resource: Resource;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly path: readonly (string | number)[];
}

function* lost(audit: AuditContext): Iterable<Hit> {
  const gateways = new Set(
    audit.every(GROUP, "Gateway").map(({ namespace, name }) => `${namespace}/${name}`),
  );
  for (const { resource, labels, namespace, path } of askers(audit)) {
    const name = labels[USE_WAYPOINT] ?? "";
    if (name === "" || name === "none") continue;
    const key = `${labels[USE_WAYPOINT_NAMESPACE] ?? namespace}/${name}`;
    if (!gateways.has(key))
      yield {
        resource,
        path,
        title: `there is no waypoint \`${key}\``,
        ...(gateways.size === 0 ? { severity: "info" as const } : {}),
      };
  }
  yield* passedBy(audit);
}

function* askers(audit: AuditContext): Iterable<Asking> {
  const path = ["metadata", "labels", USE_WAYPOINT];
  for (const resource of audit.every("", "Namespace"))
    yield { resource, labels: resource.labels, namespace: resource.name, path };
  const services = [...audit.every("", "Service"), ...audit.every("networking.istio.io", "ServiceEntry")];
  for (const resource of services)
    yield { resource, labels: resource.labels, namespace: resource.namespace, path };
  for (const pod of audit.fact(podsOf))
    yield { resource: pod.resource, labels: pod.labels, namespace: pod.namespace, path: labelPath(pod) };
}

function labelPath({ at }: AuditedPod): readonly (string | number)[] {
  return [...at.slice(0, -1), "metadata", "labels", USE_WAYPOINT];
}

/** The label where no ztunnel is that would send through a waypoint. */
function* passedBy(audit: AuditContext): Iterable<Hit> {
  const named = (labels: Asking["labels"]): boolean => !["", "none"].includes(labels[USE_WAYPOINT] ?? "");
  for (const resource of audit.every("", "Namespace"))
    if (named(resource.labels) && resource.labels[DATAPLANE_LABEL] !== "ambient")
      yield unused(resource, ["metadata", "labels", USE_WAYPOINT], "the namespace is not in ambient mode");
  for (const pod of audit.fact(podsOf)) {
    const own = pod.labels[DATAPLANE_LABEL];
    const isAmbient = own === "ambient" || (own === undefined && isAmbientNamespace(audit, pod.namespace));
    if (named(pod.labels) && !isAmbient)
      yield unused(pod.resource, labelPath(pod), "the pods are not in ambient mode");
  }
}

function unused(resource: Resource, path: Asking["path"], why: string): Hit {
  return { resource, path, kiali: "KIA1312", title: `a waypoint is asked for, but ${why}` };
}
