/** Resources of one kind of which a pod may have one only: those that share a pod, and those that share a namespace. */
import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, podsSelected } from "./pods.ts";

export interface SelectedTwice {
  readonly resource: Resource;
  /** All that select the pod, this one among them. */
  readonly rivals: readonly string[];
  readonly pod: AuditedPod;
}

/** @param selectorOf the labels that a resource selects pods of its namespace by; undefined or empty: it has no selector */
export function selectedTwice(
  audit: AuditContext,
  resources: readonly Resource[],
  selectorOf: (resource: Resource) => Readonly<Record<string, string>>,
): readonly SelectedTwice[] {
  const byPod = new Map<AuditedPod, Resource[]>();
  for (const resource of resources) {
    const selector = selectorOf(resource);
    if (Object.keys(selector).length === 0) continue;
    for (const pod of podsSelected(audit, selector, resource.namespace)) {
      const known = byPod.get(pod);
      if (known === undefined) byPod.set(pod, [resource]);
      else known.push(resource);
    }
  }
  return [...byPod].flatMap(([pod, rivals]) => {
    if (rivals.length < 2) return [];
    const names = rivals.map(resourceName).sort();
    return rivals.map((resource) => ({ resource, rivals: names, pod }));
  });
}

/** Those without a selector that are not alone in their namespace. */
export function unselectiveTwice(
  resources: readonly Resource[],
  isUnselective: (resource: Resource) => boolean,
): readonly { readonly resource: Resource; readonly rivals: readonly string[] }[] {
  const groups = Map.groupBy(resources.filter(isUnselective), ({ namespace }) => namespace).values();
  return [...groups].flatMap((group) => {
    if (group.length < 2) return [];
    const rivals = group.map(resourceName).sort();
    return group.map((resource) => ({ resource, rivals }));
  });
}
