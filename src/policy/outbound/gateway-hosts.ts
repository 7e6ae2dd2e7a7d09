/** The virtual hosts of a gateway's HTTP server: the hosts that both it and the VirtualServices bound to it are for. */

import { hostsFor, type MergedServer } from "./gateway-servers.ts";
import { isHostSubset } from "./host-name.ts";
import { type CompiledRoute, compileRoutes, type RouteContext } from "./http-route.ts";
import type { ProxyView } from "./proxy-view.ts";
import type { RegistryService } from "./registry.ts";
import type { HttpRetry } from "./resource-shapes.ts";
import type { RouteRef } from "./types.ts";
import type { VirtualHost } from "./virtual-hosts.ts";
import type { VirtualService } from "./virtual-services.ts";

/** @param servers those that share one table: all clear HTTP servers of a port, or one that terminates TLS. */
export function buildGatewayHosts(view: ProxyView, servers: readonly MergedServer[]): readonly VirtualHost[] {
  const routes = new Map<string, CompiledRoute[]>();
  const redirected = new Set<string>();
  for (const server of servers) {
    const redirects = server.server.tls?.httpsRedirect === true;
    for (const virtualService of boundTo(view, server)) {
      const compiled = compileRoutes(virtualService, gatewayContext(view, server, virtualService));
      if (compiled.length === 0) continue;
      for (const host of commonHosts(hostsFor(server, virtualService.namespace), virtualService.hosts)) {
        routes.set(host, [...(routes.get(host) ?? []), ...compiled]);
        if (redirects) redirected.add(host);
      }
    }
    if (redirects) for (const host of server.server.hosts) redirected.add(host);
  }
  for (const host of redirected) routes.set(host, [REDIRECT_TO_HTTPS]);
  return [...routes].map(([host, own]) => ({ name: host, domains: [host], routes: catchAllLast(own) }));
}

/** VirtualServices of all namespaces that the gateway sees and that name it. */
export function boundTo(view: ProxyView, { gatewayName }: MergedServer): readonly VirtualService[] {
  return view.index.virtualServices.forGateway(view.namespace, gatewayName);
}

/** What is covered by both lists, each time the narrower of two names. */
export function commonHosts(server: readonly string[], own: readonly string[]): readonly string[] {
  const common = new Set<string>();
  for (const host of server)
    for (const other of own) {
      if (isHostSubset(host, other)) common.add(host);
      else if (isHostSubset(other, host)) common.add(other);
    }
  return [...common];
}

/** Of routes for one host from several VirtualServices those that take everything come last. */
function catchAllLast(routes: readonly CompiledRoute[]): readonly CompiledRoute[] {
  return routes.toSorted((a, b) => Number(a.catchesAll) - Number(b.catchesAll));
}

function gatewayContext(view: ProxyView, server: MergedServer, virtualService: VirtualService): RouteContext {
  return {
    namespace: view.namespace,
    labels: view.labels,
    gateway: server.gatewayName,
    listenPort: server.server.port,
    isTls: server.server.tls !== undefined,
    defaultRetries: view.index.mesh.config.raw.defaultHttpRetryPolicy as HttpRetry | undefined,
    service: (host) => serviceNear(view, host, virtualService.namespace),
    cluster: view.cluster,
  };
}

/** The service as the VirtualService's own namespace means it, where the gateway may see that one. */
export function serviceNear(view: ProxyView, host: string, namespace: string): RegistryService | undefined {
  const { registry } = view.index;
  const near = registry.find(host, namespace);
  return near !== undefined && registry.isVisible(near, view.namespace) ? near : view.service(host);
}

const GATEWAY: RouteRef = Object.freeze({ resource: null, section: "default", route: null });

const REDIRECT_TO_HTTPS: CompiledRoute = {
  by: GATEWAY,
  takes: () => true,
  clauses: [],
  catchesAll: true,
  decide: (request, listener) => ({
    kind: "respond",
    allowed: false,
    code: 301,
    reason: "redirect",
    by: GATEWAY,
    listener,
    location: `https://${request.authority}${request.path}`,
    responseHeaders: { remove: [], set: [], add: [] },
  }),
};
