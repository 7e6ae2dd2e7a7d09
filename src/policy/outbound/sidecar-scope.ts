/** What the sidecars of a namespace are told of: services and VirtualServices by egress listener, after Sidecar resources. */
import type { Labels, Mesh, ServicePort } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import {
  type HostTable,
  hostsOverlap,
  isHostSubset,
  isWildcard,
  MESH_GATEWAY,
  mostSpecific,
  newHostTable,
  tableOf,
} from "./host-name.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { RegistryService } from "./registry.ts";
import { type Destination, type SidecarEgress, type SidecarShape, shapeOf } from "./resource-shapes.ts";
import { mergeScopeServices } from "./scope-services.ts";
import { destinationPorts } from "./virtual-service-destinations.ts";
import type { VirtualService } from "./virtual-services.ts";

export interface EgressListener {
  readonly services: readonly RegistryService[];
  readonly virtualServices: readonly VirtualService[];
  /** Set for a listener that the user declared on a port of its own. */
  readonly port?: { readonly number: number; readonly protocol: string };
  readonly bind?: string;
  /** For each service the VirtualService with the most specific host that covers it. */
  readonly winner: ReadonlyMap<string, VirtualService>;
}

export interface OutboundTraffic {
  readonly mode: "REGISTRY_ONLY" | "ALLOW_ANY" | "ALLOW_ANY_DYNAMIC_DNS";
  readonly egressProxy?: Destination;
  /** `Sidecar ns/name`, or null where the mesh's setting holds. */
  readonly by: string | null;
}

export interface SidecarScope {
  readonly namespace: string;
  /** `Sidecar ns/name`; null for the default that imports everything visible. */
  readonly sidecar: string | null;
  readonly listeners: readonly EgressListener[];
  /** Every service that the proxy has clusters for, by host name. */
  readonly services: ReadonlyMap<string, RegistryService>;
  readonly outboundTraffic: OutboundTraffic;
}

const IMPORT_ALL: SidecarEgress = { hosts: ["*/*"] };

/** The Sidecar resource that holds for a workload: its namespace's, a selecting one first; else the root namespace's. Of several the oldest. */
export function selectSidecar(mesh: Mesh, namespace: string, labels: Labels): Resource | undefined {
  const shape = (resource: Resource): SidecarShape => shapeOf<SidecarShape>(resource);
  const own = mesh.sidecars.filter((sidecar) => sidecar.namespace === namespace);
  const selecting = own.find((sidecar) => {
    const selector = shape(sidecar).workloadSelector;
    return selector !== undefined && matchesLabels(selector.labels ?? {}, labels);
  });
  const general = (sidecar: Resource): boolean => shape(sidecar).workloadSelector === undefined;
  return (
    selecting ??
    own.find(general) ??
    mesh.sidecars.find((sidecar) => sidecar.namespace === mesh.config.rootNamespace && general(sidecar))
  );
}

export function buildSidecarScope(
  index: MeshIndex,
  namespace: string,
  sidecar: Resource | undefined,
): SidecarScope {
  const shape: SidecarShape = sidecar === undefined ? {} : shapeOf<SidecarShape>(sidecar);
  const egress = shape.egress === undefined || shape.egress.length === 0 ? [IMPORT_ALL] : shape.egress;
  const listeners = egress.map((entry) => buildEgressListener(index, namespace, entry));
  const name = sidecar === undefined ? null : resourceName(sidecar);
  return {
    namespace,
    sidecar: name,
    listeners,
    services: mergeScopeServices(listeners.flatMap((listener) => importedBy(index, namespace, listener))),
    outboundTraffic: outboundTrafficOf(index.mesh, shape, name),
  };
}

/** Gateways import every visible service, whatever Sidecar resources say. */
export function buildGatewayScope(index: MeshIndex, namespace: string): SidecarScope {
  return {
    namespace,
    sidecar: null,
    listeners: [],
    services: mergeScopeServices(index.registry.visibleTo(namespace)),
    outboundTraffic: { mode: "REGISTRY_ONLY", by: null },
  };
}

function outboundTrafficOf(mesh: Mesh, shape: SidecarShape, sidecar: string | null): OutboundTraffic {
  const own = shape.outboundTrafficPolicy;
  if (own === undefined) return { mode: mesh.config.outboundTrafficPolicy, by: null };
  const mode = own.mode === "ALLOW_ANY" || own.mode === "ALLOW_ANY_DYNAMIC_DNS" ? own.mode : "REGISTRY_ONLY";
  return { mode, ...(own.egressProxy === undefined ? {} : { egressProxy: own.egressProxy }), by: sidecar };
}

/** The hosts that an egress listener imports from one namespace (or from `*`, all). */
interface ImportedHosts {
  readonly exact: Set<string>;
  readonly wildcards: string[];
  readonly excluded: string[];
}

function parseEgressHosts(hosts: readonly string[], namespace: string): Map<string, ImportedHosts> {
  const byNamespace = new Map<string, ImportedHosts>();
  for (const entry of hosts) {
    const [scope = "", host, ...rest] = entry.split("/");
    if (host === undefined || rest.length > 0) continue;
    const excluded = scope.startsWith("~");
    const named = excluded ? scope.slice(1) || "*" : scope;
    const from = named === "." ? namespace : named;
    let imported = byNamespace.get(from);
    if (imported === undefined) {
      imported = { exact: new Set(), wildcards: [], excluded: [] };
      byNamespace.set(from, imported);
    }
    const name = host.toLowerCase();
    if (excluded) imported.excluded.push(name);
    else if (isWildcard(name)) imported.wildcards.push(name);
    else imported.exact.add(name);
  }
  return byNamespace;
}

function importsService(imported: ImportedHosts | undefined, host: string): boolean {
  return (
    imported !== undefined &&
    (imported.exact.has(host) || imported.wildcards.some((own) => isHostSubset(host, own)))
  );
}

/** VirtualServices match both ways: importing `a.com` brings in a route for `*.com`. */
function importsVirtualHost(imported: ImportedHosts | undefined, host: string): boolean {
  return (
    imported !== undefined &&
    (imported.exact.has(host) ||
      imported.wildcards.some((own) => hostsOverlap(host, own)) ||
      (isWildcard(host) && imported.exact.values().some((own) => isHostSubset(own, host))))
  );
}

function isExcluded(imported: ImportedHosts | undefined, host: string): boolean {
  return imported?.excluded.some((excluded) => isHostSubset(host, excluded)) === true;
}

function buildEgressListener(index: MeshIndex, namespace: string, entry: SidecarEgress): EgressListener {
  const hosts = parseEgressHosts(entry.hosts ?? [], namespace);
  const number = entry.port?.number ?? 0;
  const protocol = (entry.port?.protocol ?? "").toLowerCase();
  const onPort = number !== 0 && protocol !== "http_proxy" ? number : undefined;
  const services = selectServices(index.registry.visibleTo(namespace), namespace, hosts, onPort);
  const virtualServices = selectVirtualServices(index, namespace, hosts);
  return {
    services,
    virtualServices,
    ...(entry.port === undefined ? {} : { port: { number, protocol } }),
    ...(entry.bind === undefined || entry.bind === "" ? {} : { bind: entry.bind }),
    winner: mostSpecificVirtualServices(services, virtualServices),
  };
}

function selectServices(
  visible: readonly RegistryService[],
  namespace: string,
  hosts: ReadonlyMap<string, ImportedHosts>,
  onPort: number | undefined,
): readonly RegistryService[] {
  const everywhere = hosts.get("*");
  const imported: RegistryService[] = [];
  for (const service of visible) {
    const local = hosts.get(service.namespace);
    const { hostname } = service;
    if (isExcluded(local, hostname) || isExcluded(everywhere, hostname)) continue;
    const from = [local, everywhere].find((imports) => importsService(imports, hostname));
    if (from === undefined) continue;
    const trimmed = onPort === undefined ? service : onlyPort(service, onPort);
    if (trimmed !== undefined) imported.push(withImportedAliases(trimmed, from));
  }
  return oneNamespacePerHost(imported, namespace);
}

function withImportedAliases(service: RegistryService, from: ImportedHosts): RegistryService {
  if (service.aliases.length === 0) return service;
  const aliases = service.aliases.filter((alias) => importsService(from, alias.hostname));
  return aliases.length === service.aliases.length ? service : { ...service, aliases };
}

function onlyPort(service: RegistryService, number: number): RegistryService | undefined {
  const port = service.ports.find((candidate) => candidate.port === number);
  if (port === undefined) return undefined;
  return service.ports.length === 1 ? service : { ...service, ports: [port] };
}

/** A host name in several namespaces means the client's own, else a Kubernetes service's, else the first seen. */
function oneNamespacePerHost(
  services: readonly RegistryService[],
  namespace: string,
): readonly RegistryService[] {
  const chosen = new Map<string, RegistryService>();
  for (const service of services) {
    const known = chosen.get(service.hostname);
    if (known === undefined || service.namespace === namespace) chosen.set(service.hostname, service);
    else if (!known.kubernetes && service.kubernetes && known.namespace !== namespace)
      chosen.set(service.hostname, service);
  }
  return services.filter((service) => chosen.get(service.hostname)?.namespace === service.namespace);
}

function selectVirtualServices(
  index: MeshIndex,
  namespace: string,
  hosts: ReadonlyMap<string, ImportedHosts>,
): readonly VirtualService[] {
  const everywhere = hosts.get("*");
  return index.virtualServices.forGateway(namespace, MESH_GATEWAY).filter((virtualService) => {
    const local = hosts.get(virtualService.namespace);
    return virtualService.hosts.some(
      (host) =>
        (importsVirtualHost(local, host) || importsVirtualHost(everywhere, host)) &&
        !isExcluded(local, host) &&
        !isExcluded(everywhere, host),
    );
  });
}

function mostSpecificVirtualServices(
  services: readonly RegistryService[],
  virtualServices: readonly VirtualService[],
): ReadonlyMap<string, VirtualService> {
  const table: HostTable<VirtualService> = newHostTable();
  for (const virtualService of virtualServices)
    for (const host of virtualService.hosts) {
      const map = tableOf(table, host);
      if (!map.has(host)) map.set(host, virtualService);
    }
  const winner = new Map<string, VirtualService>();
  for (const { hostname } of services) {
    const virtualService = mostSpecific(hostname, table);
    if (virtualService !== undefined) winner.set(hostname, virtualService);
  }
  return winner;
}

/** The listener's services, and those that its VirtualServices lead to. */
function importedBy(index: MeshIndex, namespace: string, listener: EgressListener): RegistryService[] {
  const services = [...listener.services];
  const onPort =
    listener.port === undefined || listener.port.protocol === "http_proxy" ? 0 : listener.port.number;
  for (const virtualService of listener.virtualServices) {
    for (const [host, ports] of destinationPorts(virtualService, namespace)) {
      const service = pickService(index, host, namespace);
      if (service === undefined) continue;
      const trimmed = onPort === 0 ? onlyPorts(service, ports) : onlyPort(service, onPort);
      if (trimmed !== undefined) services.push(trimmed);
    }
  }
  return services;
}

/** Of the services with a host name: the client's own namespace's, else a visible Kubernetes one, else the oldest visible. */
function pickService(index: MeshIndex, host: string, namespace: string): RegistryService | undefined {
  const byNamespace = index.registry.findAll(host);
  if (byNamespace === undefined) return undefined;
  const own = byNamespace.get(namespace);
  if (own !== undefined) return own;
  const visible = [...byNamespace.values()].filter((service) => index.registry.isVisible(service, namespace));
  return visible.find((service) => service.kubernetes) ?? visible[0];
}

/** With the destination ports only; 0 among them means all. None of them: the service is left out. */
function onlyPorts(service: RegistryService, wanted: ReadonlySet<number>): RegistryService | undefined {
  if (wanted.has(0)) return service;
  const ports: readonly ServicePort[] = service.ports.filter((port) => wanted.has(port.port));
  if (ports.length === service.ports.length) return service;
  return ports.length === 0 ? undefined : { ...service, ports };
}
