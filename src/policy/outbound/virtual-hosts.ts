/** The virtual hosts of a sidecar's HTTP port: which routes a Host header is taken to. */
import type { AppProtocol } from "../../model/mesh.ts";
import { parseIpAddress } from "../ip-address.ts";
import { COMMON_NAMESPACE } from "./common-view.ts";
import { CLUSTER_DOMAIN, clusterName, hostsOverlap, isWildcard, MESH_GATEWAY } from "./host-name.ts";
import { type CompiledRoute, compileDefaultRoute, compileRoutes, type RouteContext } from "./http-route.ts";
import type { ProxyView } from "./proxy-view.ts";
import { type RegistryService, UNSPECIFIED } from "./registry.ts";
import type { HttpRetry } from "./resource-shapes.ts";
import type { EgressListener } from "./sidecar-scope.ts";
import type { VirtualService } from "./virtual-services.ts";

export interface VirtualHost {
  /** `reviews.foo.svc.cluster.local:9080` */
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly CompiledRoute[];
}

const HTTP_OR_DETECTED: ReadonlySet<AppProtocol> = new Set(["http", "http2", "grpc", "auto"]);

/** Routes with the hosts that lead to them: VirtualServices first, then services that none of them took. */
interface HostGroup {
  readonly routes: readonly CompiledRoute[];
  readonly hosts: readonly string[];
  readonly services: readonly RegistryService[];
}

export interface VirtualHosts {
  readonly hosts: readonly VirtualHost[];
  /**
   * What clients of a namespace call its own services besides, with the virtual hosts that these names lead to. Empty unless
   * the view is the one that namespaces share.
   */
  namesIn(namespace: string): readonly (readonly [domain: string, host: VirtualHost])[];
}

export function buildVirtualHosts(view: ProxyView, listener: EgressListener, port: number): VirtualHosts {
  const onPort = new Map<string, RegistryService>();
  for (const service of listener.services) {
    const servicePort = service.ports.find((candidate) => candidate.port === port);
    if (servicePort !== undefined) onPort.set(service.hostname, { ...service, ports: [servicePort] });
  }
  return nameVirtualHosts(view, groupHosts(view, listener, onPort, port), port);
}

/** @param service with the one port that is looked at. */
function speaksHttp(service: RegistryService): boolean {
  return service.ports.some(({ protocol }) => HTTP_OR_DETECTED.has(protocol));
}

function groupHosts(
  view: ProxyView,
  listener: EgressListener,
  onPort: ReadonlyMap<string, RegistryService>,
  port: number,
): readonly HostGroup[] {
  const groups: HostGroup[] = [];
  const taken = new Set<string>();
  const context = sidecarContext(view, onPort, port);
  for (const virtualService of listener.virtualServices) {
    const { hosts, services } = separateHosts(virtualService, listener, onPort);
    const http = services.filter(speaksHttp);
    // Port 80 alone also carries VirtualServices for hosts that no registry knows: Istio's compatibility rule.
    if (http.length === 0 && port !== 80) continue;
    const routes = compileRoutes(virtualService, context);
    if (routes.length === 0) continue;
    groups.push({ routes, hosts, services: http });
    for (const service of http) taken.add(service.hostname);
  }
  const untaken = [...onPort.values()].filter((service) => !taken.has(service.hostname));
  for (const service of untaken.sort((a, b) => (a.hostname < b.hostname ? -1 : 1))) {
    if (service.resolution === "alias" || !speaksHttp(service)) continue;
    const plan = view.cluster(service.hostname, port, "");
    const route = compileDefaultRoute(clusterName(port, "", service.hostname), plan, context.defaultRetries);
    groups.push({ routes: [route], hosts: [], services: [service] });
  }
  return groups;
}

function sidecarContext(
  view: ProxyView,
  onPort: ReadonlyMap<string, RegistryService>,
  port: number,
): RouteContext {
  return {
    namespace: view.namespace,
    labels: view.labels,
    gateway: MESH_GATEWAY,
    listenPort: port,
    isTls: false,
    defaultRetries: view.index.mesh.config.raw.defaultHttpRetryPolicy as HttpRetry | undefined,
    service: (host) => onPort.get(host),
    cluster: view.cluster,
  };
}

/** A VirtualService's hosts: the services they stand for, and names that no registry knows. */
function separateHosts(
  virtualService: VirtualService,
  listener: EgressListener,
  onPort: ReadonlyMap<string, RegistryService>,
): { readonly hosts: readonly string[]; readonly services: readonly RegistryService[] } {
  const hosts: string[] = [];
  const services: RegistryService[] = [];
  for (const host of virtualService.hosts.filter((own) => !isWildcard(own))) {
    const service = onPort.get(host);
    if (service === undefined) hosts.push(host);
    else services.push(service);
  }
  for (const host of virtualService.hosts.filter(isWildcard)) {
    const covered = [...onPort.values()].filter((service) => hostsOverlap(service.hostname, host));
    if (covered.length === 0) hosts.push(host);
    // Only the most specific of several wildcards has the service.
    services.push(...covered.filter((service) => listener.winner.get(service.hostname) === virtualService));
  }
  return { hosts, services };
}

/** Gives each host its domains; one that was given before is not given again, and a host without any is none. */
function nameVirtualHosts(view: ProxyView, groups: readonly HostGroup[], port: number): VirtualHosts {
  let place = 0;
  /** Domains, with the place of the host that has it. */
  const given = new Map<string, number>();
  const placed: PlacedService[] = [];
  const known = new Set(groups.flatMap((group) => group.services.map((service) => service.hostname)));
  const virtualHosts: VirtualHost[] = [];
  const isShared = view.namespace === COMMON_NAMESPACE;
  const add = (
    host: string,
    domains: readonly string[],
    expanded: ReadonlySet<string>,
    routes: readonly CompiledRoute[],
    service?: RegistryService,
  ): void => {
    place++;
    const own: string[] = [];
    for (const domain of domains) {
      if (given.has(domain) || (expanded.has(domain) && known.has(domain))) continue;
      given.set(domain, place);
      own.push(domain);
    }
    const virtualHost = { name: `${host}:${port}`, domains: own, routes };
    if (own.length > 0) virtualHosts.push(virtualHost);
    if (service !== undefined && isShared) placed.push({ service, place, virtualHost });
  };
  for (const { routes, hosts, services } of groups) {
    for (const host of hosts) add(host, [host], new Set(), routes);
    for (const service of services) {
      const { domains, expanded } = serviceDomains(service, view.namespace);
      add(service.hostname, domains, new Set(expanded), routes, service);
    }
  }
  const byNamespace = Map.groupBy(placed, ({ service }) => service.namespace);
  return {
    hosts: virtualHosts,
    namesIn: (namespace) => ownNames(byNamespace.get(namespace) ?? [], namespace, { given, known }),
  };
}

/** A service with its virtual host, which has a place in the order of all. */
interface PlacedService {
  readonly service: RegistryService;
  readonly place: number;
  readonly virtualHost: VirtualHost;
}

/**
 * INVARIANT: as if the namespace had been compiled by itself: of two hosts for one domain that with the earlier place has it. What the service is
 * called everywhere was given with its own place, or an earlier one.
 */
function ownNames(
  placed: readonly PlacedService[],
  namespace: string,
  { given, known }: { readonly given: ReadonlyMap<string, number>; readonly known: ReadonlySet<string> },
): readonly (readonly [string, VirtualHost])[] {
  const names = new Map<string, VirtualHost>();
  for (const { service, place, virtualHost } of placed) {
    const { domains, expanded } = serviceDomains(service, namespace);
    const short = new Set(expanded);
    for (const domain of domains) {
      if (names.has(domain) || (short.has(domain) && known.has(domain))) continue;
      if ((given.get(domain) ?? Number.POSITIVE_INFINITY) > place) names.set(domain, virtualHost);
    }
  }
  return [...names];
}

/** Every Host header that a service answers to from a namespace. */
function serviceDomains(
  service: RegistryService,
  clientNamespace: string,
): { readonly domains: readonly string[]; readonly expanded: readonly string[] } {
  const domains: string[] = [];
  const expanded: string[] = [];
  for (const hostname of [service.hostname, ...service.aliases.map((alias) => alias.hostname)]) {
    const short = shortNames(hostname, clientNamespace);
    domains.push(hostname, ...short);
    expanded.push(...short);
  }
  if (service.resolution === "passthrough" && service.kubernetes)
    domains.push(...domains.map((domain) => `*.${domain}`));
  for (const address of [service.address, ...service.extraAddresses]) {
    const family = address === UNSPECIFIED ? undefined : parseIpAddress(address)?.family;
    if (family !== undefined) domains.push(family === 6 ? `[${address}]` : address);
  }
  return { domains, expanded };
}

const SERVICE_SUFFIX = `.svc.${CLUSTER_DOMAIN}`;

/** The name with a final dot, and for Kubernetes' services what their search path lets clients leave out. */
export function shortNames(hostname: string, clientNamespace: string): readonly string[] {
  const absolute = `${hostname}.`;
  if (!hostname.endsWith(SERVICE_SUFFIX)) return [absolute];
  const base = hostname.slice(0, -SERVICE_SUFFIX.length);
  const dot = base.indexOf(".");
  if (dot < 0) return [absolute];
  const long = [`${base}.svc`, base];
  return base.slice(dot + 1) === clientNamespace
    ? [absolute, base.slice(0, dot), ...long]
    : [absolute, ...long];
}
