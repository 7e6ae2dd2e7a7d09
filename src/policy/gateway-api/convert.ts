/**
 * The Kubernetes Gateway API in Istio's own terms: what Gateways and routes ask for becomes Gateways and VirtualServices,
 * so that one compiler decides about both.
 * @see pilot/pkg/config/kube/gateway of istio/istio
 */
import type { Mesh } from "../../model/mesh.ts";
import { byAge, type Resource, resourceName } from "../../resources/resource.ts";
import type { HttpMatch, HttpRoute, VirtualServiceShape } from "../outbound/resource-shapes.ts";
import { convertListeners, type Listener } from "./listeners.ts";
import { type Attachment, attachmentsOf } from "./parents.ts";
import type { GatewayApiProblem, Report } from "./problem.ts";
import { type MayRefer, referenceGrants } from "./reference-grants.ts";
import { actionsOf, destinationOf, type RuleContext } from "./route-actions.ts";
import { bySpecificity, grpcMatch, httpMatch } from "./route-matches.ts";
import {
  GATEWAY_API_GROUP,
  type GrpcRouteMatch,
  type GrpcRouteRule,
  type HttpRouteMatch,
  type HttpRouteRule,
  type RouteRule,
  type RouteShape,
} from "./shapes.ts";

export interface ConvertedGatewayApi {
  /** With a spec as Istio's Gateways have. */
  readonly gateways: readonly Resource[];
  /** With a spec as VirtualServices have; kind and name are those of the (first) route. */
  readonly virtualServices: readonly Resource[];
  readonly problems: readonly GatewayApiProblem[];
}

const CONVERTED = new WeakMap<Mesh, ConvertedGatewayApi>();

/** Converts once for each mesh. */
export function gatewayApiOf(mesh: Mesh): ConvertedGatewayApi {
  let converted = CONVERTED.get(mesh);
  if (converted === undefined) {
    converted = convert(mesh);
    CONVERTED.set(mesh, converted);
  }
  return converted;
}

function convert(mesh: Mesh): ConvertedGatewayApi {
  const problems: GatewayApiProblem[] = [];
  const report: Report = (resource, path, why) => void problems.push({ resource, path, why });
  const mayRefer = referenceGrants(mesh);
  const listeners = convertListeners(mesh, mayRefer, report);
  const virtualServices = [
    ...convertHttpRoutes(mesh, listeners, mayRefer, report),
    ...convertByteRoutes(mesh, listeners, mayRefer, report),
  ];
  return { gateways: listeners.map(({ resource }) => resource), virtualServices, problems };
}

function routesOf(mesh: Mesh, kinds: readonly string[]): readonly Resource[] {
  return mesh.resources
    .filter(({ kind, apiVersion }) => kinds.includes(kind) && apiVersion.startsWith(`${GATEWAY_API_GROUP}/`))
    .sort(byAge);
}

/** All routes that hold for one name in one place. */
interface HttpGroup {
  readonly first: Resource;
  readonly gateway: string;
  readonly host: string;
  readonly exportTo: string;
  readonly routes: HttpRoute[];
}

function convertHttpRoutes(
  mesh: Mesh,
  listeners: readonly Listener[],
  mayRefer: MayRefer,
  report: Report,
): readonly Resource[] {
  const groups = new Map<string, HttpGroup>();
  for (const resource of routesOf(mesh, ["HTTPRoute", "GRPCRoute"])) {
    const routes = httpRules(resource, mayRefer, report);
    for (const attachment of attachmentsOf(mesh, resource, listeners, report))
      for (const host of new Set(attachment.hosts)) addToGroup(groups, resource, attachment, host, routes);
  }
  return [...groups.values()].map(({ first, gateway, host, exportTo, routes }) =>
    virtualService(first, {
      hosts: [host],
      gateways: [gateway],
      exportTo: [exportTo],
      http: bySpecificity(routes),
    }),
  );
}

function addToGroup(
  groups: Map<string, HttpGroup>,
  first: Resource,
  { gateway, port, consumerOnly }: Attachment,
  host: string,
  routes: readonly HttpRoute[],
): void {
  const exportTo = consumerOnly ? "." : "*";
  const key = JSON.stringify([gateway, host, consumerOnly ? first.namespace : null]);
  let group = groups.get(key);
  if (group === undefined) {
    group = { first, gateway, host, exportTo, routes: [] };
    groups.set(key, group);
  }
  for (const route of routes) group.routes.push(port === undefined ? route : onPort(route, port));
}

function onPort(route: HttpRoute, port: number): HttpRoute {
  const matches: readonly HttpMatch[] = route.match ?? [{}];
  return { ...route, match: matches.map((match) => ({ ...match, port })) };
}

/** One route for each condition of each rule: the order among them is by condition. */
function httpRules(resource: Resource, mayRefer: MayRefer, report: Report): readonly HttpRoute[] {
  const { rules = [] } = resource.spec as RouteShape<HttpRouteRule | GrpcRouteRule>;
  return rules.flatMap((rule, index) => {
    const actions = actionsOf(rule, contextOf(resource, index, mayRefer, report));
    const origin = { ref: resourceName(resource), rule: index };
    const name = rule.name === undefined ? {} : { name: rule.name };
    return matchesOf(resource, rule).map((match) => ({ ...actions, ...name, origin, match: [match] }));
  });
}

function matchesOf(
  { kind }: Resource,
  { matches = [] }: HttpRouteRule | GrpcRouteRule,
): readonly HttpMatch[] {
  const written = matches.length === 0 ? [{}] : matches;
  return kind === "GRPCRoute"
    ? written.map((match) => grpcMatch(match as GrpcRouteMatch))
    : written.map((match) => httpMatch(match as HttpRouteMatch));
}

function contextOf(route: Resource, rule: number, mayRefer: MayRefer, report: Report): RuleContext {
  return { route, mayRefer, report: (path, why) => report(route, ["spec", "rules", rule, ...path], why) };
}

function convertByteRoutes(
  mesh: Mesh,
  listeners: readonly Listener[],
  mayRefer: MayRefer,
  report: Report,
): readonly Resource[] {
  return routesOf(mesh, ["TLSRoute", "TCPRoute"]).flatMap((resource) => {
    const { rules = [] } = resource.spec as RouteShape<RouteRule>;
    const targets = rules.map((rule, index) => {
      const context = contextOf(resource, index, mayRefer, report);
      return (rule.backendRefs ?? []).map((reference, at) => ({
        destination: destinationOf(reference, context, ["backendRefs", at]),
        weight: reference.weight ?? 1,
      }));
    });
    return attachmentsOf(mesh, resource, listeners, report).map((attachment) =>
      virtualService(resource, bytesAt(resource, attachment, targets)),
    );
  });
}

function bytesAt(
  resource: Resource,
  { gateway, hosts, port, consumerOnly, listener }: Attachment,
  targets: readonly NonNullable<HttpRoute["route"]>[],
): VirtualServiceShape {
  const where = port === undefined ? {} : { port };
  const common = { hosts, gateways: [gateway], exportTo: [consumerOnly ? "." : "*"] };
  const byName = resource.kind === "TLSRoute" && isPassedThrough(listener);
  if (!byName) return { ...common, tcp: targets.map((route) => ({ match: [where], route })) };
  const sniHosts = listener === undefined ? namesInMesh(resource, hosts) : hosts;
  return { ...common, tls: targets.map((route) => ({ match: [{ ...where, sniHosts }], route })) };
}

/** Within the mesh nobody ends TLS on the way. */
function isPassedThrough(listener: Listener | undefined): boolean {
  return listener === undefined || listener.shape.tls?.mode === "Passthrough";
}

/** A service's own names, unless the route is for others. */
function namesInMesh(resource: Resource, hosts: readonly string[]): readonly string[] {
  const { hostnames = [] } = resource.spec as RouteShape<unknown>;
  const named = hostnames.map((name) => name.toLowerCase());
  return named.length === 0 ? hosts : named;
}

function virtualService(route: Resource, spec: VirtualServiceShape): Resource {
  return { ...route, spec };
}
