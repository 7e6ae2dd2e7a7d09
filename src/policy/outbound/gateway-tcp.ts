/** What a gateway does with connections that it forwards as bytes: opaque TCP, terminated TLS, and TLS by its SNI. */

import { boundTo } from "./gateway-hosts.ts";
import { covers, hostsFor, type MergedServer } from "./gateway-servers.ts";
import { clusterSni, hostsOverlap } from "./host-name.ts";
import { l4Concerns } from "./l4-match.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { L4Match } from "./resource-shapes.ts";
import { plainTarget } from "./targets.ts";
import { decideTcp, forwardByRoute, type TcpForward } from "./tcp-forward.ts";
import type {
  ClusterPlan,
  GatewayConnection,
  GatewayRefusal,
  OutboundDecision,
  RouteRef,
  Semantics,
} from "./types.ts";
import type { VirtualService } from "./virtual-services.ts";

/** A VirtualService's tcp route at a server. */
export interface TcpCandidate {
  readonly hosts: readonly string[];
  /** The server's hosts that VirtualServices of its namespace may use. */
  readonly serverHosts: readonly string[];
  readonly forward: TcpForward;
}

/** For each VirtualService bound to the server its first tcp route that holds there. */
export function tcpCandidates(view: ProxyView, server: MergedServer): readonly TcpCandidate[] {
  return boundTo(view, server).flatMap((own): TcpCandidate[] => {
    const serverHosts = hostsFor(server, own.namespace);
    if (!overlapping(own, serverHosts)) return [];
    for (const [index, { match = [], route = [] }] of own.tcp.entries()) {
      if (route.length === 0 || (match.length > 0 && !match.some((m) => concernsServer(m, server)))) continue;
      const by: RouteRef = { resource: own.ref, section: "tcp", route: index };
      return [
        { hosts: own.hosts, serverHosts, forward: forwardByRoute(view, by, route, server.server.port) },
      ];
    }
    return [];
  });
}

function overlapping(own: VirtualService, serverHosts: readonly string[]): boolean {
  return own.hosts.some((host) => serverHosts.some((serverHost) => hostsOverlap(host, serverHost)));
}

/** A gateway looks at the port and the gateway of a condition alone. */
function concernsServer({ port, gateways }: L4Match, { gatewayName, server }: MergedServer): boolean {
  const condition: L4Match = {
    ...(port === undefined ? {} : { port }),
    ...(gateways === undefined ? {} : { gateways }),
  };
  return l4Concerns(condition, { namespace: "", labels: {}, gateway: gatewayName, listenPort: server.port });
}

/** One SNI-routed chain of a PASSTHROUGH server. */
export interface PassthroughRoute {
  readonly serverNames: readonly string[];
  readonly forward: TcpForward;
}

/** @param taken names that an earlier route of the port has; a route that wants one of them is left out. */
export function passthroughRoutes(
  view: ProxyView,
  server: MergedServer,
  taken: Set<string>,
): readonly PassthroughRoute[] {
  const routes: PassthroughRoute[] = [];
  for (const own of boundTo(view, server)) {
    if (!overlapping(own, hostsFor(server, own.namespace))) continue;
    for (const [index, { match = [], route = [] }] of own.tls.entries()) {
      for (const condition of route.length === 0 ? [] : match) {
        const serverNames = (condition.sniHosts ?? []).map((name) => name.toLowerCase());
        if (!concernsServer(condition, server) || serverNames.some((name) => taken.has(name))) continue;
        for (const name of serverNames) taken.add(name);
        const by: RouteRef = { resource: own.ref, section: "tls", route: index };
        routes.push({ serverNames, forward: forwardByRoute(view, by, route, server.server.port) });
      }
    }
  }
  return routes;
}

/** `outbound_.443_.v1_.host`: the SNI by which another network's sidecars name a cluster here. */
const CLUSTER_SNI = /^outbound_\.(\d+)_\.([^_]*)_\.(.+)/;

/** AUTO_PASSTHROUGH: to endpoints that take mutual TLS only, as the gateway cannot see what passes. */
export function forwardBySni(view: ProxyView, server: MergedServer, sni: string): TcpForward | undefined {
  const [, port, subset = "", host = ""] = CLUSTER_SNI.exec(sni) ?? [];
  if (port === undefined || !covers(server.server.hosts, host)) return undefined;
  const plan = view.cluster(host, Number(port), subset);
  if (plan === undefined || view.service(host)?.external === true) return undefined;
  const { tlsSettings: _client, ...rest } = plan;
  const untouched: ClusterPlan = {
    ...rest,
    name: clusterSni(plan.port, subset, host),
    tls: "plaintext",
    endpoints: plan.endpoints
      .filter((endpoint) => endpoint.tls === "mtls")
      .map((endpoint) => ({ ...endpoint, tls: "plaintext" })),
  };
  const by: RouteRef = { resource: server.server.gateway, section: "default", route: null };
  return { by, targets: [plainTarget(untouched.name, untouched)], weighted: false };
}

/** Which of the candidates takes a connection whose outer TLS (if any) is terminated. */
export function routeTerminated(
  candidates: readonly TcpCandidate[],
  server: MergedServer,
  connection: GatewayConnection,
  semantics: Semantics,
  listener: string,
): OutboundDecision {
  const [first] = candidates;
  const gateway = server.server.gateway;
  if (first === undefined) return refuse(gateway, listener, "no-virtual-service");
  const outer = connection.sni?.toLowerCase();
  if (semantics === "istio" || server.kind === "tcp") return decideTcp(first.forward, listener, false, outer);
  const { innerSni } = connection;
  if (innerSni === null) return refuse(gateway, listener, "inner-name-missing");
  const inner = innerSni?.toLowerCase();
  const byOuter = candidates.filter(({ hosts, serverHosts }) => admits(hosts, serverHosts, outer));
  if (byOuter.length === 0) return refuse(gateway, listener, "outer-name-not-allowed");
  const chosen =
    inner === undefined
      ? byOuter[0]
      : byOuter.find(({ hosts, serverHosts }) => admits(hosts, serverHosts, inner));
  if (chosen === undefined) return refuse(gateway, listener, "inner-name-not-allowed");
  if (inner === undefined && isDynamic(chosen.forward))
    return refuse(gateway, listener, "inner-name-missing");
  return decideTcp(chosen.forward, listener, false, inner ?? outer);
}

/** A connection without a name is only for those who are for every name. */
function admits(hosts: readonly string[], serverHosts: readonly string[], name: string | undefined): boolean {
  if (name === undefined) return hosts.includes("*") && serverHosts.includes("*");
  return covers(hosts, name) && covers(serverHosts, name);
}

function isDynamic({ targets }: TcpForward): boolean {
  return targets.some(({ cluster }) => cluster?.resolution === "dynamic-dns");
}

export function refuse(gateway: string | null, listener: string, cause: GatewayRefusal): OutboundDecision {
  const by: RouteRef = { resource: gateway, section: "default", route: null };
  return { kind: "refuse", allowed: false, code: 0, reason: "no-route", by, listener, cause };
}
