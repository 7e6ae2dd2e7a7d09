/** Where a waypoint sends what it lets pass: routes bound to the service, VirtualServices for its name, else the service itself. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { hostsOverlap, MESH_GATEWAY } from "../outbound/host-name.ts";
import { compileDefaultRoute, compileRoutes, type RouteContext } from "../outbound/http-route.ts";
import { createHttpTable, type HttpTable, notFound } from "../outbound/http-table.ts";
import { l4Concerns } from "../outbound/l4-match.ts";
import { meshIndex } from "../outbound/mesh-index.ts";
import { createProxyView, type ProxyView } from "../outbound/proxy-view.ts";
import type { RequestParts } from "../outbound/request-view.ts";
import type { HttpRetry, RouteDestination } from "../outbound/resource-shapes.ts";
import { buildGatewayScope } from "../outbound/sidecar-scope.ts";
import { plainTarget } from "../outbound/targets.ts";
import { decideTcp, forwardByRoute, type TcpForward } from "../outbound/tcp-forward.ts";
import type { ClusterPlan, OutboundDecision, RouteRef } from "../outbound/types.ts";
import type { VirtualService, WrittenHttpRoute } from "../outbound/virtual-services.ts";
import { chainProtocol } from "../port-protocol.ts";
import { waypointOfService } from "./waypoints.ts";

export interface WaypointRoutes {
  /** Whether no route is bound: whatever the waypoint lets through goes to the service's own pods. */
  readonly arePlain: boolean;
  /** @param port of the service. */
  routeHttp(port: number, request: RequestParts & { readonly path: string }): OutboundDecision;
  /** @param speaksHttp whether the bytes are a clear HTTP request: then a successful answer has a status. */
  routeTcp(port: number, speaksHttp: boolean, name?: string): OutboundDecision;
}

/**
 * Only routes of the service's namespace or of the waypoint's count, wherever else they may hold. Conditions on a client's labels never hold here, those on its
 * namespace are compared with the waypoint's, and of TLS routes only those that name the service alone.
 * @see pilot/pkg/networking/core/listener_waypoint.go of istio/istio
 */
export function compileWaypointRoutes(mesh: Mesh, waypoint: Workload, service: Service): WaypointRoutes {
  const index = meshIndex(mesh);
  const scope = buildGatewayScope(index, waypoint.namespace);
  const view = createProxyView(index, scope, waypoint.namespace, waypoint.labels, true);
  const own: ProxyView = { ...view, cluster: ownClusters(mesh, waypoint, view) };
  const host = service.hostname.toLowerCase();
  const bound = index.virtualServices
    .forGateway(waypoint.namespace, MESH_GATEWAY)
    .filter(
      ({ namespace, hosts }) =>
        (namespace === waypoint.namespace || namespace === service.namespace) &&
        hosts.some((name) => hostsOverlap(name, host)),
    );
  const tables = new Map<number, HttpTable>();
  return {
    arePlain: bound.length === 0,
    routeHttp(port, request) {
      let table = tables.get(port);
      if (table === undefined) {
        table = httpTable(own, bound, service, port);
        tables.set(port, table);
      }
      return table.route(request, listenerOf(host, port), "");
    },
    routeTcp: (port, speaksHttp, name) =>
      decideTcp(tcpForward(own, bound, host, port), listenerOf(host, port), speaksHttp, name),
  };
}

function listenerOf(host: string, port: number): string {
  return `inbound-vip|${port}||${host}`;
}

/** Those of the services that the waypoint stands before: it speaks HBONE to their pods, and to a pod without it in clear. */
function ownClusters(mesh: Mesh, waypoint: Workload, view: ProxyView): ProxyView["cluster"] {
  return (host, port, subset) => {
    const plan = view.cluster(host, port, subset);
    if (plan === undefined) return undefined;
    const binding = waypointOfService(mesh, plan.service);
    const isOwn = binding.kind === "bound" && binding.waypoint.workload === waypoint;
    return isOwn ? ownCluster(plan) : plan;
  };
}

const OWN_PREFIX = "inbound-vip|";

/** Whether a cluster is of a service that the waypoint itself stands before. */
export function isOwnCluster({ name }: ClusterPlan): boolean {
  return name.startsWith(OWN_PREFIX);
}

function ownCluster(plan: ClusterPlan): ClusterPlan {
  const { tlsSettings, ...rest } = plan;
  const protocol = chainProtocol(plan.servicePort.protocol) === "tcp" ? "tcp" : "http";
  const subset = plan.subset === "" ? protocol : `${protocol}/${plan.subset}`;
  const name = `${OWN_PREFIX}${plan.port}|${subset}|${plan.host}`;
  // The mesh's own TLS has no place here: HBONE stands for it. TLS that a DestinationRule writes out stays.
  if (tlsSettings !== undefined && tlsSettings.mode !== "mtls") return { ...plan, name };
  const endpoints = plan.endpoints.map((endpoint) => ({ ...endpoint, tls: "plaintext" as const }));
  return { ...rest, name, endpoints, tls: "plaintext" };
}

function httpTable(
  view: ProxyView,
  bound: readonly VirtualService[],
  service: Service,
  port: number,
): HttpTable {
  const { mesh } = view.index;
  const host = service.hostname.toLowerCase();
  const context: RouteContext = {
    namespace: view.namespace,
    labels: {},
    gateway: MESH_GATEWAY,
    listenPort: port,
    isTls: false,
    defaultRetries: mesh.config.raw.defaultHttpRetryPolicy as HttpRetry | undefined,
    service: view.service,
    cluster: view.cluster,
  };
  const build = () => {
    const routes = bound.flatMap((own) => compileRoutes(forAnyClient(own), context));
    const plan = view.cluster(host, port, "");
    if (routes.length === 0)
      routes.push(compileDefaultRoute(plan?.name ?? host, plan, context.defaultRetries));
    // The client's Host says nothing here: whom it is for, its address said. Only where the Host is resolved anew it has to be the service's.
    const domains = service.resolution === "dynamic-dns" ? [host] : ["*"];
    return { hosts: [{ name: host, domains, routes }], namesIn: () => [] };
  };
  return createHttpTable("NONE", build, (_request, listener) => notFound(listener));
}

/** Without the conditions that ask for a client's labels: nobody knows them here. */
function forAnyClient(service: VirtualService): VirtualService {
  const http = service.http.flatMap((written): WrittenHttpRoute[] => {
    const { match = [] } = written.route;
    const kept = match.filter(({ sourceLabels = {} }) => Object.keys(sourceLabels).length === 0);
    if (match.length > 0 && kept.length === 0) return [];
    return [
      kept.length === match.length ? written : { ...written, route: { ...written.route, match: kept } },
    ];
  });
  return { ...service, http };
}

function tcpForward(
  view: ProxyView,
  bound: readonly VirtualService[],
  host: string,
  port: number,
): TcpForward {
  const client = { namespace: "", labels: {}, gateway: MESH_GATEWAY, listenPort: port };
  const byRoute = (section: "tls" | "tcp", takes: (route: L4Route) => boolean): TcpForward | undefined => {
    for (const { ref, [section]: routes } of bound) {
      const index = routes.findIndex(takes);
      const route = routes[index];
      if (route === undefined) continue;
      const by: RouteRef = { resource: ref, section, route: index };
      return forwardByRoute(view, by, route.route ?? [], port);
    }
    return undefined;
  };
  const concerns = (match: L4Condition): boolean => l4Concerns(match, client);
  const namesIt = ({ sniHosts = [] }: L4Condition): boolean => sniHosts.length === 1 && sniHosts[0] === host;
  return (
    byRoute(
      "tls",
      ({ match = [] }) => match.length === 0 || match.some((own) => namesIt(own) && concerns(own)),
    ) ??
    byRoute("tcp", ({ match = [] }) => match.length === 0 || match.some(concerns)) ??
    toService(view, host, port)
  );
}

type L4Route = { readonly match?: readonly L4Condition[]; readonly route?: readonly RouteDestination[] };
type L4Condition = Parameters<typeof l4Concerns>[0] & { readonly sniHosts?: readonly string[] };

function toService(view: ProxyView, host: string, port: number): TcpForward {
  const plan = view.cluster(host, port, "");
  const by: RouteRef = { resource: null, section: "default", route: null };
  return { by, targets: [plainTarget(plan?.name ?? host, plan)], weighted: false };
}
