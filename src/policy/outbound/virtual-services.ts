/** VirtualServices as proxies are told of them: names resolved, delegates merged, sorted by who may see them. */
import type { Mesh } from "../../model/mesh.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { gatewayApiOf } from "../gateway-api/convert.ts";
import { mergeDelegate } from "./delegates.ts";
import { MESH_GATEWAY, resolveGatewayName, resolveShortName } from "./host-name.ts";
import {
  type Destination,
  type HttpRoute,
  type L4Match,
  type RouteDestination,
  shapeOf,
  type VirtualServiceShape,
} from "./resource-shapes.ts";
import type { RouteRef } from "./types.ts";
import { effectiveExportTo, isVisible } from "./visibility.ts";

/** An HTTP route and where it is written. */
export interface WrittenHttpRoute {
  readonly route: HttpRoute;
  readonly by: RouteRef;
}

/** A delegate's route that takes no part, for explanations. */
export interface DroppedDelegate {
  readonly route: number;
  readonly why: string;
}

export interface VirtualService {
  /** `VirtualService ns/name` */
  readonly ref: string;
  readonly namespace: string;
  readonly name: string;
  /** In full, in lower case. */
  readonly hosts: readonly string[];
  /** `mesh` or `namespace/name`. */
  readonly gateways: readonly string[];
  readonly exportTo: readonly string[];
  readonly http: readonly WrittenHttpRoute[];
  readonly tls: NonNullable<VirtualServiceShape["tls"]>;
  readonly tcp: NonNullable<VirtualServiceShape["tcp"]>;
  readonly dropped: readonly DroppedDelegate[];
}

export interface VirtualServices {
  /** Oldest first. Delegates are within their roots. */
  readonly all: readonly VirtualService[];
  /** Those bound to a gateway (or `mesh`) that a namespace sees: its private ones, those exported to it, public ones. */
  forGateway(namespace: string, gateway: string): readonly VirtualService[];
}

export function indexVirtualServices(mesh: Mesh): VirtualServices {
  const defaults = mesh.config.defaultVirtualServiceExportTo;
  const isDelegate = (resource: Resource): boolean =>
    (shapeOf<VirtualServiceShape>(resource).hosts ?? []).length === 0;
  const delegates = new Map<string, VirtualService>();
  const resources = [...mesh.virtualServices, ...gatewayApiOf(mesh).virtualServices];
  for (const resource of resources)
    if (isDelegate(resource))
      delegates.set(`${resource.namespace}/${resource.name}`, resolve(resource, defaults));
  const all = resources
    .filter((resource) => !isDelegate(resource))
    .map((resource) => withDelegates(resolve(resource, defaults), delegates));
  return { all, forGateway: selectByGateway(all) };
}

function selectByGateway(all: readonly VirtualService[]): VirtualServices["forGateway"] {
  const byGateway = new Map<string, VirtualService[]>();
  for (const service of all)
    for (const gateway of service.gateways)
      byGateway.set(gateway, [...(byGateway.get(gateway) ?? []), service]);
  const known = new Map<string, readonly VirtualService[]>();
  return (namespace, gateway) => {
    const key = `${namespace}\0${gateway}`;
    const selected = known.get(key) ?? orderForNamespace(byGateway.get(gateway) ?? [], namespace);
    known.set(key, selected);
    return selected;
  };
}

function orderForNamespace(bound: readonly VirtualService[], namespace: string): readonly VirtualService[] {
  const isPublic = (service: VirtualService): boolean => service.exportTo.includes("*");
  const limited = bound.filter((s) => !isPublic(s) && isVisible(s.exportTo, s.namespace, namespace));
  return [
    ...limited.filter((service) => service.namespace === namespace),
    ...limited.filter((service) => service.namespace !== namespace),
    ...bound.filter(isPublic),
  ];
}

function resolve(resource: Resource, defaults: readonly string[]): VirtualService {
  const shape = shapeOf<VirtualServiceShape>(resource);
  const { namespace } = resource;
  const ref = resourceName(resource);
  const gateways = (shape.gateways ?? []).map((gateway) => resolveGatewayName(gateway, namespace));
  return {
    ref,
    namespace,
    name: resource.name,
    hosts: (shape.hosts ?? []).map((host) => resolveShortName(host, namespace).toLowerCase()),
    gateways: gateways.length === 0 ? [MESH_GATEWAY] : gateways,
    exportTo: effectiveExportTo(shape.exportTo, defaults),
    http: (shape.http ?? []).map((route, index) => ({
      route: resolveHttpRoute(route, namespace),
      by: {
        resource: route.origin?.ref ?? ref,
        section: "http",
        route: route.origin?.rule ?? index,
        ...routeName(route),
      },
    })),
    tls: (shape.tls ?? []).map((route) => resolveL4Route(route, namespace)),
    tcp: (shape.tcp ?? []).map((route) => resolveL4Route(route, namespace)),
    dropped: [],
  };
}

function routeName(route: HttpRoute): { routeName?: string } {
  return route.name === undefined || route.name === "" ? {} : { routeName: route.name };
}

function resolveHttpRoute(route: HttpRoute, namespace: string): HttpRoute {
  const { match, mirror, mirrors } = route;
  return {
    ...route,
    ...(match === undefined ? {} : { match: match.map((m) => resolveGateways(m, namespace)) }),
    ...(route.route === undefined ? {} : { route: route.route.map((r) => resolveTarget(r, namespace)) }),
    ...(mirror === undefined ? {} : { mirror: resolveDestination(mirror, namespace) }),
    ...(mirrors === undefined ? {} : { mirrors: mirrors.map((m) => resolveTarget(m, namespace)) }),
  };
}

function resolveL4Route<
  R extends { readonly match?: readonly L4Match[]; readonly route?: readonly RouteDestination[] },
>(route: R, namespace: string): R {
  const { match, route: targets } = route;
  return {
    ...route,
    ...(match === undefined ? {} : { match: match.map((m) => resolveGateways(m, namespace)) }),
    ...(targets === undefined ? {} : { route: targets.map((r) => resolveTarget(r, namespace)) }),
  };
}

function resolveGateways<M extends { readonly gateways?: readonly string[] }>(
  match: M,
  namespace: string,
): M {
  const { gateways } = match;
  if (gateways === undefined) return match;
  return { ...match, gateways: gateways.map((gateway) => resolveGatewayName(gateway, namespace)) };
}

function resolveTarget<T extends { readonly destination?: Destination }>(target: T, namespace: string): T {
  const { destination } = target;
  return destination === undefined
    ? target
    : { ...target, destination: resolveDestination(destination, namespace) };
}

function resolveDestination(destination: Destination, namespace: string): Destination {
  return { ...destination, host: resolveShortName(destination.host, namespace) };
}

function withDelegates(root: VirtualService, delegates: ReadonlyMap<string, VirtualService>): VirtualService {
  const http: WrittenHttpRoute[] = [];
  const dropped: DroppedDelegate[] = [];
  for (const written of root.http) {
    if (written.route.delegate === undefined) http.push(written);
    else http.push(...expandDelegate(root, written, delegates, dropped));
  }
  return { ...root, http, dropped };
}

function expandDelegate(
  root: VirtualService,
  { route, by }: WrittenHttpRoute,
  delegates: ReadonlyMap<string, VirtualService>,
  dropped: DroppedDelegate[],
): WrittenHttpRoute[] {
  const name = `${route.delegate?.namespace || root.namespace}/${route.delegate?.name ?? ""}`;
  const drop = (why: string): void => {
    dropped.push({ route: by.route ?? 0, why });
  };
  const delegate = delegates.get(name);
  if (delegate === undefined) {
    drop(`its delegate VirtualService ${name} does not exist`);
    return [];
  }
  if (!isVisible(delegate.exportTo, delegate.namespace, root.namespace)) {
    drop(`its delegate VirtualService ${name} is not exported to namespace ${root.namespace}`);
    return [];
  }
  const merged = mergeDelegate(
    route,
    delegate.http.map((written) => written.route),
  );
  return merged.flatMap((own, index) => {
    if (own !== undefined)
      return [
        {
          route: own,
          by: {
            resource: delegate.ref,
            section: "http",
            route: index,
            ...routeName(own),
            delegatedBy: root.ref,
          },
        },
      ];
    drop(`route ${index} of its delegate VirtualService ${name} has conditions outside of its own`);
    return [];
  });
}
