/** Pods, and templates, that a sidecar or ztunnel serves, as labels, annotations and containers say it. */
import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL, INJECT_LABEL, INJECTION_LABEL, REVISION_LABEL } from "./injection-labels.ts";
import { type AuditedPod, containersOf, PROXY_CONTAINER, podsOf } from "./pods.ts";

/** By namespace. */
export function podsInMesh(audit: AuditContext): ReadonlyMap<string, readonly AuditedPod[]> {
  const namespaces = new Map(audit.every("", "Namespace").map(({ name, labels }) => [name, labels]));
  const inMesh = audit.fact(podsOf).filter((pod) => {
    const { labels, annotations, namespace } = pod;
    if (annotations["ambient.istio.io/redirection"] === "enabled") return true;
    if (containersOf(pod).some(({ name, image }) => name === PROXY_CONTAINER && image !== "")) return true;
    const said = labels[INJECT_LABEL] ?? annotations[INJECT_LABEL];
    if (said !== undefined) return said === "true";
    const own = namespaces.get(namespace);
    // A namespace that no file has is taken to be labelled, as everywhere (BW1512).
    if (own === undefined) return pod.resource.kind !== "Pod";
    const ambient = (labels[DATAPLANE_LABEL] ?? own[DATAPLANE_LABEL]) === "ambient";
    return (
      ambient ||
      own[INJECTION_LABEL] === "enabled" ||
      (own[REVISION_LABEL] ?? "") !== "" ||
      (labels[REVISION_LABEL] ?? "") !== ""
    );
  });
  return Map.groupBy(inMesh, ({ namespace }) => namespace);
}
