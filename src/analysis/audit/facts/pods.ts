/** Pods, and templates of pods, as they are written. `istioctl` looks at pods alone; files rarely have any, so templates count as pods here. */

import type { Labels } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import { podOf } from "../../../model/written-pod.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import { containersOfSpec, type WrittenContainer } from "../../trust/images/pod-containers.ts";
import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, labelsOf } from "./written.ts";

export interface AuditedPod {
  readonly resource: Resource;
  readonly namespace: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  /** Its `spec`, and where that stands in the resource. */
  readonly spec: Fields;
  readonly at: FieldPath;
}

/** Of every resource that is, or has, a pod, whether it takes part or not. */
export function podsOf({ mesh, rejected }: AuditContext): readonly AuditedPod[] {
  const refused = rejected.flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
  return [...mesh.resources, ...refused].flatMap((resource) => {
    const written = podOf(resource);
    if (written === undefined) return [];
    const metadata = fieldsOf(written.pod.metadata);
    return [
      {
        resource,
        namespace: resource.namespace,
        labels: labelsOf(metadata.labels),
        annotations: labelsOf(metadata.annotations),
        spec: fieldsOf(written.pod.spec),
        at: [...written.at, "spec"],
      },
    ];
  });
}

export function containersOf({ spec, at }: AuditedPod): readonly WrittenContainer[] {
  return containersOfSpec(spec, at);
}

/** Pods by their namespaces. */
export function podsByNamespace(audit: AuditContext): ReadonlyMap<string, readonly AuditedPod[]> {
  return Map.groupBy(audit.fact(podsOf), ({ namespace }) => namespace);
}

/**
 * Pods by one of their labels, `key=value`, so that a selector is not held against all.
 * @returns pods that the selector takes; all of them for an empty one
 */
export function podsSelected(
  audit: AuditContext,
  selector: Labels,
  namespace?: string,
): readonly AuditedPod[] {
  const [first] = Object.entries(selector);
  const candidates =
    first === undefined
      ? namespace === undefined
        ? audit.fact(podsOf)
        : (audit.fact(podsByNamespace).get(namespace) ?? [])
      : (audit.fact(podsByLabel).get(`${first[0]}=${first[1]}`) ?? []);
  return candidates.filter(
    (pod) => (namespace === undefined || pod.namespace === namespace) && matchesLabels(selector, pod.labels),
  );
}

function podsByLabel(audit: AuditContext): ReadonlyMap<string, readonly AuditedPod[]> {
  const byLabel = new Map<string, AuditedPod[]>();
  for (const pod of audit.fact(podsOf))
    for (const [key, value] of Object.entries(pod.labels)) {
      const entry = `${key}=${value}`;
      const known = byLabel.get(entry);
      if (known === undefined) byLabel.set(entry, [pod]);
      else known.push(pod);
    }
  return byLabel;
}

/** Namespaces that hold no applications of the mesh: nobody injects them. */
export const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set([
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "local-path-storage",
]);

export const PROXY_CONTAINER = "istio-proxy";

/** Istio's own, by the labels that its charts set. */
export function isControlPlane({ labels }: { readonly labels: Labels }): boolean {
  return labels.istio !== undefined || labels.release === "istio";
}
