/** Where the routes of VirtualServices lead. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, itemsOf, numberOf, textOf } from "./written.ts";

export interface RouteDestination {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly role: "route" | "mirror";
  readonly host: string;
  readonly subset: string;
  readonly port: number | undefined;
  /** `http`, `tcp` or `tls`. */
  readonly protocol: string;
}

export const ROUTE_LISTS = ["tcp", "tls", "http"] as const;

export function routeDestinations(audit: AuditContext): readonly RouteDestination[] {
  return audit
    .every("networking.istio.io", "VirtualService")
    .flatMap((resource) => [...destinationsOf(resource)]);
}

function* destinationsOf(resource: Resource): Iterable<RouteDestination> {
  for (const protocol of ROUTE_LISTS)
    for (const [index, route] of itemsOf(fieldsOf(resource.spec)[protocol])) {
      const at = ["spec", protocol, index];
      for (const [to, { destination }] of itemsOf(route.route))
        yield made(resource, [...at, "route", to, "destination"], "route", protocol, fieldsOf(destination));
      if (protocol !== "http") continue;
      if (route.mirror !== undefined)
        yield made(resource, [...at, "mirror"], "mirror", protocol, fieldsOf(route.mirror));
      for (const [to, { destination }] of itemsOf(route.mirrors))
        yield made(
          resource,
          [...at, "mirrors", to, "destination"],
          "mirror",
          protocol,
          fieldsOf(destination),
        );
    }
}

function made(
  resource: Resource,
  path: FieldPath,
  role: RouteDestination["role"],
  protocol: string,
  { host, subset, port }: Fields,
): RouteDestination {
  return {
    resource,
    path,
    role,
    protocol,
    host: textOf(host),
    subset: textOf(subset),
    port: numberOf(fieldsOf(port).number),
  };
}
