/** Which pods a gateway's routes may lead to, and for which hosts: what it opens to whoever reaches it. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type DestinationPod, destinationPods } from "./destination-pods.ts";
import { boundTo, commonHosts, serviceNear } from "./gateway-hosts.ts";
import { hostsFor, mergeServers } from "./gateway-servers.ts";
import { meshIndex } from "./mesh-index.ts";
import { createProxyView } from "./proxy-view.ts";
import { buildGatewayScope } from "./sidecar-scope.ts";
import { destinationPorts } from "./virtual-service-destinations.ts";
import type { VirtualService } from "./virtual-services.ts";

export interface GatewayDestination extends DestinationPod {
  /** Both the Gateway's and the route's. */
  readonly hosts: readonly string[];
  /** `VirtualService ns/name`, or what else the route is. */
  readonly route: string;
}

/**
 * One for each route and port: a route that several conditions lead to stands once, whatever they ask for. Servers that pass
 * TLS on by its server name alone (AUTO_PASSTHROUGH) are left out: they know no routes.
 */
export function gatewayDestinations(mesh: Mesh, gateway: Workload): readonly GatewayDestination[] {
  const index = meshIndex(mesh);
  const scope = buildGatewayScope(index, gateway.namespace);
  const view = createProxyView(index, scope, gateway.namespace, gateway.labels, true);
  return [...mergeServers(mesh, gateway).values()].flat().flatMap((server) =>
    boundTo(view, server).flatMap((virtualService) => {
      const hosts = commonHosts(hostsFor(server, virtualService.namespace), virtualService.hosts);
      if (hosts.length === 0) return [];
      const bound = boundRoutes(virtualService, server.gatewayName);
      return [...destinationPorts(bound, view.namespace)].flatMap(([host, ports]) => {
        const service = serviceNear(view, host, virtualService.namespace);
        return service === undefined
          ? []
          : destinationPods(view, service, ports).map((pod) => ({
              ...pod,
              hosts,
              route: virtualService.ref,
            }));
      });
    }),
  );
}

/** Routes whose conditions all name other gateways (or sidecars: `mesh`) are none of this one's. */
function boundRoutes(virtualService: VirtualService, gateway: string): VirtualService {
  const isMine = (matches: readonly { readonly gateways?: readonly string[] }[] | undefined): boolean =>
    matches === undefined ||
    matches.length === 0 ||
    matches.some(
      ({ gateways }) => gateways === undefined || gateways.length === 0 || gateways.includes(gateway),
    );
  return {
    ...virtualService,
    http: virtualService.http.filter(({ route }) => isMine(route.match)),
    tls: virtualService.tls.filter(({ match }) => isMine(match)),
    tcp: virtualService.tcp.filter(({ match }) => isMine(match)),
  };
}
