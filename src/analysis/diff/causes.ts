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
  const old = byName(before);
  const now = byName(after);
  const causes: Cause[] = [];
  for (const [name, resource] of now) {
    const known = old.get(name);
    if (known === undefined) causes.push(causeAt(resource, "added"));
    else if (textOf(known) !== textOf(resource)) causes.push(causeAt(resource, "changed"));
  }
  for (const [name, resource] of old) if (!now.has(name)) causes.push(causeAt(resource, "removed"));
  return causes;
}

function byName(resources: readonly Resource[]): ReadonlyMap<string, Resource> {
  return new Map(resources.map((resource) => [resourceName(resource), resource]));
}

export function causeAt(resource: Resource, change: Cause["change"]): Cause {
  return { resource: resourceName(resource), change, span: resource.locate(["spec"]) };
}
