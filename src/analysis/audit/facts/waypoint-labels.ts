/** What labels say of ambient mode and of waypoints. */
import type { Labels } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { DATAPLANE_LABEL } from "./injection-labels.ts";

export const USE_WAYPOINT = "istio.io/use-waypoint";
export const USE_WAYPOINT_NAMESPACE = "istio.io/use-waypoint-namespace";

export function namespaceLabels(audit: AuditContext): ReadonlyMap<string, Labels> {
  return new Map(audit.every("", "Namespace").map(({ name, labels }) => [name, labels]));
}

export function labelsOfNamespace(audit: AuditContext, namespace: string): Labels {
  return audit.fact(namespaceLabels).get(namespace) ?? {};
}

export function isAmbientNamespace(audit: AuditContext, namespace: string): boolean {
  return labelsOfNamespace(audit, namespace)[DATAPLANE_LABEL] === "ambient";
}

/** The waypoint that is asked for; undefined for none. The own label settles it. */
export function waypointAskedFor(own: Labels, ofNamespace: Labels): string | undefined {
  const name = own[USE_WAYPOINT] ?? ofNamespace[USE_WAYPOINT] ?? "";
  return name === "" || name === "none" ? undefined : name;
}

/** Services by `namespace/name`. */
export function servicesByName(audit: AuditContext): ReadonlyMap<string, Resource> {
  return new Map(
    audit.every("", "Service").map((service) => [`${service.namespace}/${service.name}`, service]),
  );
}
