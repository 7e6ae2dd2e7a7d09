/** Services that routes lead to, each with the first place that says so: somebody is meant to call them. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "./known-hosts.ts";
import { routeDestinations } from "./route-destinations.ts";
import { fieldsOf, itemsOf, textOf } from "./written.ts";

export interface RoutePlace {
  readonly resource: Resource;
  readonly path: FieldPath;
}

const ROUTES = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"] as const;

/** By the Service's full name. Mirrors are asked by nobody. */
export function ledServices(audit: AuditContext): ReadonlyMap<string, RoutePlace> {
  const places = new Map<string, RoutePlace>();
  const add = (host: string, place: RoutePlace): void => {
    if (!places.has(host)) places.set(host, place);
  };
  for (const { resource, path, role, host } of audit.fact(routeDestinations))
    if (role === "route") add(fullHost(host, resource.namespace), { resource, path: [...path, "host"] });
  for (const kind of ROUTES)
    for (const resource of audit.of("gateway.networking.k8s.io", kind))
      for (const [rule, { backendRefs }] of itemsOf(fieldsOf(resource.spec).rules))
        for (const [index, { kind: target = "Service", name, namespace }] of itemsOf(backendRefs))
          if (target === "Service")
            add(fullHost(textOf(name), textOf(namespace) || resource.namespace), {
              resource,
              path: ["spec", "rules", rule, "backendRefs", index],
            });
  return places;
}
