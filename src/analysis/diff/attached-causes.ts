/** Why other policies hold for a workload than did: one came, went or changed, or what they select by has. */
import type { Mesh } from "../../model/mesh.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { type Cause, causeAt, changedResources } from "./causes.ts";
import { textOf } from "./server-facts.ts";
import { WORKLOAD_KINDS } from "./workload-kinds.ts";

type Sides<T> = readonly [before: T, after: T];

/**
 * A policy that stands in both meshes was neither added nor removed where it holds in one: it has another selector, or else `moved` is the cause.
 * @param attached the policies that hold on each side.
 * @param moved what has changed of what policies select by: the workload, or the service, and what says which namespace is the root.
 */
export function attachedCauses(
  meshes: Sides<Mesh>,
  attached: Sides<readonly Resource[]>,
  moved: () => readonly Cause[],
): readonly Cause[] {
  const left: string[] = [];
  const come: string[] = [];
  const causes = changedResources(...attached).flatMap((cause): readonly Cause[] => {
    if (cause.change === "changed") return [cause];
    const [was, is] = meshes.map((mesh) => resourcesByName(mesh).get(cause.resource));
    if (was === undefined || is === undefined) return [cause];
    const isNow = cause.change === "added";
    if (textOf(was) === textOf(is)) {
      (isNow ? come : left).push(cause.resource);
      return [];
    }
    const what = `it ${isNow ? "now holds" : "no longer holds"} for the workload`;
    return [{ ...causeAt(is, "changed"), what }];
  });
  if (left.length + come.length === 0) return causes;
  return [...moved().map((cause) => withPolicies(cause, left, come)), ...causes];
}

/** Of one that is new, or gone, there is nothing more to be said. */
function withPolicies(cause: Cause, left: readonly string[], come: readonly string[]): Cause {
  if (cause.change !== "changed") return cause;
  const isSelected = WORKLOAD_KINDS.includes(cause.resource.split(" ")[0] ?? "");
  const does = (names: readonly string[], when: string): readonly string[] => {
    const isOne = names.length === 1;
    const verb = isSelected ? (isOne ? "selects" : "select") : isOne ? "holds for" : "hold for";
    return names.length === 0 ? [] : [`${names.join(", ")} ${when} ${verb} it`];
  };
  return { ...cause, what: [...does(left, "no longer"), ...does(come, "now")].join("; ") };
}

const NAMED = new WeakMap<Mesh, ReadonlyMap<string, Resource>>();

/** Kept: every class of workloads asks. */
function resourcesByName(mesh: Mesh): ReadonlyMap<string, Resource> {
  const known = NAMED.get(mesh);
  if (known !== undefined) return known;
  const made = new Map(mesh.resources.map((resource) => [resourceName(resource), resource]));
  NAMED.set(mesh, made);
  return made;
}
