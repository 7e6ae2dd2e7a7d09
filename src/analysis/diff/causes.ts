/** Which resources are behind a change. */
import type { Span } from "../../resources/diagnostic.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { textOf } from "./server-facts.ts";

export interface Cause {
  /** `Kind namespace/name` */
  readonly resource: string;
  readonly change: "added" | "removed" | "changed";
  /** Where it stands: in the new mesh, or in the old where it is no more. */
  readonly span: Span;
  /** What of it, where it is not all of it: "which authorizer is asked". */
  readonly what?: string;
}

export function changedResources(before: readonly Resource[], after: readonly Resource[]): readonly Cause[] {
  const [left, come] = apart(before, after);
  const old = byName(left);
  const now = byName(come);
  const causes: Cause[] = [];
  for (const [name, resource] of now) {
    const known = old.get(name);
    if (known === undefined) causes.push(causeAt(resource, "added"));
    else if (textOf(known) !== textOf(resource)) causes.push(causeAt(resource, "changed"));
  }
  for (const [name, resource] of old) if (!now.has(name)) causes.push(causeAt(resource, "removed"));
  return causes;
}

/** Those of each that are not the very same in the other: of files that were not read again, none is. */
export function apart(
  before: readonly Resource[],
  after: readonly Resource[],
): readonly [before: readonly Resource[], after: readonly Resource[]] {
  const [old, now] = [new Set(before), new Set(after)];
  return [before.filter((own) => !now.has(own)), after.filter((own) => !old.has(own))];
}

function byName(resources: readonly Resource[]): ReadonlyMap<string, Resource> {
  return new Map(resources.map((resource) => [resourceName(resource), resource]));
}

export function causeAt(resource: Resource, change: Cause["change"]): Cause {
  return { resource: resourceName(resource), change, span: resource.locate(["spec"]) };
}
