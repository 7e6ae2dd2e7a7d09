/** The mesh's services as a client's proxy is told of them: one entry for each virtual address, oldest first. */
import type { Mesh, Service, ServicePort } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { parseCidrBlock } from "../ip-address.ts";
import { buildEndpointGroup, type EndpointGroup } from "./endpoint-group.ts";
import { effectiveExportTo, isVisible } from "./visibility.ts";

/** Stands for "no address": the proxy listens on the wildcard. */
export const UNSPECIFIED = "0.0.0.0";

export interface Alias {
  readonly hostname: string;
  readonly namespace: string;
}

export interface RegistryService {
  /** In lower case. */
  readonly hostname: string;
  readonly namespace: string;
  readonly kubernetes: boolean;
  /** What clients dial: an IP, a CIDR block, {@link UNSPECIFIED}, or a stand-in for an address not given yet. */
  readonly address: string;
  /** Further addresses of the same listener (dual stack). */
  readonly extraAddresses: readonly string[];
  readonly ports: readonly ServicePort[];
  readonly resolution: Service["resolution"] | "alias";
  /** Where an alias (ExternalName) points to. */
  readonly externalName?: string;
  readonly external: boolean;
  /** ExternalName services that point here. */
  readonly aliases: readonly Alias[];
  readonly hasSelector: boolean;
  /** Shared by all entries with the same host name and namespace. */
  readonly group: EndpointGroup;
  readonly model: Service;
  readonly exportTo: readonly string[];
}

export interface Registry {
  /** Oldest first. */
  readonly services: readonly RegistryService[];
  /** The entry that a host name stands for in a namespace. */
  find(hostname: string, namespace: string): RegistryService | undefined;
  /** All namespaces that have the host name, with the entry. */
  findAll(hostname: string): ReadonlyMap<string, RegistryService> | undefined;
  /** What a namespace may import, those exported to it by name first, as Istio lists them. */
  visibleTo(namespace: string): readonly RegistryService[];
  isVisible(service: RegistryService, namespace: string): boolean;
}

/**
 * The stand-in for the virtual address of a service whose resource has none yet: files that were never applied to a
 * cluster carry no clusterIP. Cannot collide with an address.
 */
export function virtualAddress(hostname: string): string {
  return `vip:${hostname}`;
}

export function buildRegistry(mesh: Mesh): Registry {
  const services = withAliases(sortServices(mesh.services).flatMap(entriesOf(mesh)));
  const byHost = indexByHost(services);
  const visible = new Map<string, readonly RegistryService[]>();
  return {
    services,
    find: (hostname, namespace) => byHost.get(hostname)?.get(namespace),
    findAll: (hostname) => byHost.get(hostname),
    isVisible: (service, namespace) => isVisible(service.exportTo, service.namespace, namespace),
    visibleTo(namespace) {
      const known = visible.get(namespace);
      if (known !== undefined) return known;
      const listed = listVisible(services, namespace);
      visible.set(namespace, listed);
      return listed;
    },
  };
}

function listVisible(services: readonly RegistryService[], namespace: string): readonly RegistryService[] {
  const isPublic = (service: RegistryService): boolean => service.exportTo.includes("*");
  const exported = services.filter((s) => !isPublic(s) && isVisible(s.exportTo, s.namespace, namespace));
  return [...exported, ...services.filter(isPublic)];
}

/** Creation, then name, then namespace. A ServiceEntry's hosts are names of their own. */
function sortServices(services: readonly Service[]): readonly Service[] {
  return [...services].sort((a, b) => {
    const age = creation(a.resource) - creation(b.resource);
    return age || compareTexts(nameOf(a), nameOf(b)) || compareTexts(a.namespace, b.namespace);
  });
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function nameOf(service: Service): string {
  return service.origin === "kubernetes" ? service.name : service.hostname;
}

/** A Kubernetes service without a time is taken to be older than any ServiceEntry, so that none can squat on its name. */
function creation(resource: Resource): number {
  const metadata = resource.body.metadata as { readonly creationTimestamp?: unknown } | undefined;
  // Null is what `kubectl create --dry-run` writes.
  const dated = (metadata?.creationTimestamp ?? undefined) !== undefined;
  return resource.kind === "Service" && !dated ? 0 : resource.createdAt;
}

function entriesOf(mesh: Mesh): (service: Service) => RegistryService[] {
  const groups = new Map<string, EndpointGroup>();
  const members = Map.groupBy(mesh.services, groupKey);
  return (service) => {
    const key = groupKey(service);
    let group = groups.get(key);
    if (group === undefined) {
      group = buildEndpointGroup(members.get(key) ?? [], mesh.config.trustDomainAliases);
      groups.set(key, group);
    }
    return toEntries(service, group, mesh.config.defaultServiceExportTo);
  };
}

function groupKey(service: Service): string {
  return `${service.namespace}/${service.hostname}`;
}

function toEntries(
  service: Service,
  group: EndpointGroup,
  defaultExportTo: readonly string[],
): RegistryService[] {
  const base = {
    hostname: service.hostname.toLowerCase(),
    namespace: service.namespace,
    kubernetes: service.origin === "kubernetes",
    ports: service.ports,
    resolution: service.externalName === undefined ? service.resolution : ("alias" as const),
    ...(service.externalName === undefined ? {} : { externalName: service.externalName }),
    external: service.external,
    aliases: [],
    hasSelector: hasSelector(service.resource),
    group,
    model: service,
    exportTo: effectiveExportTo(service.exportTo, defaultExportTo),
  };
  if (service.origin === "kubernetes") return [{ ...base, ...kubernetesAddress(service) }];
  const addresses = service.addresses.flatMap(serviceEntryAddress);
  if (service.addresses.length === 0) addresses.push(UNSPECIFIED);
  return addresses.map((address) => ({ ...base, address, extraAddresses: [] }));
}

function kubernetesAddress(service: Service): { address: string; extraAddresses: readonly string[] } {
  const [address, ...extraAddresses] = service.addresses;
  if (address !== undefined) return { address, extraAddresses };
  const unassigned = !service.headless && service.externalName === undefined;
  return { address: unassigned ? virtualAddress(service.hostname) : UNSPECIFIED, extraAddresses: [] };
}

/** A block of one address is that address; what is no address at all is left out. */
function serviceEntryAddress(text: string): string[] {
  const block = parseCidrBlock(text);
  if (block === undefined) return [];
  const single = block.prefixLength === (block.address.family === 4 ? 32 : 128);
  return [single ? (text.split("/", 1)[0] ?? text) : text];
}

function hasSelector(resource: Resource): boolean {
  const spec = resource.spec as { selector?: unknown; workloadSelector?: unknown };
  return spec.selector !== undefined || spec.workloadSelector !== undefined;
}

/** Notes on each service which ExternalName services lead to it, through any number of them; loops lead nowhere. */
function withAliases(services: readonly RegistryService[]): readonly RegistryService[] {
  const target = new Map<string, string>();
  for (const { hostname, externalName } of services)
    if (externalName !== undefined) target.set(hostname, externalName);
  const aliases = new Map<string, Alias[]>();
  for (const { hostname, namespace, externalName } of services) {
    const concrete = externalName === undefined ? undefined : followAliases(externalName, target);
    if (concrete === undefined) continue;
    aliases.set(concrete, [...(aliases.get(concrete) ?? []), { hostname, namespace }]);
  }
  return services.map((service) => {
    const own = aliases.get(service.hostname);
    return own === undefined ? service : { ...service, aliases: own.sort(byNamespaceAndName) };
  });
}

function byNamespaceAndName(a: Alias, b: Alias): number {
  return compareTexts(a.namespace, b.namespace) || compareTexts(a.hostname, b.hostname);
}

function followAliases(to: string, target: ReadonlyMap<string, string>): string | undefined {
  const seen = new Set<string>();
  let at = to;
  for (;;) {
    const next = target.get(at);
    if (next === undefined) return at;
    if (seen.has(at)) return undefined;
    seen.add(at);
    at = next;
  }
}

/** Of several entries in one namespace the oldest stands, but a Kubernetes service before any ServiceEntry. */
function indexByHost(services: readonly RegistryService[]): Map<string, Map<string, RegistryService>> {
  const byHost = new Map<string, Map<string, RegistryService>>();
  for (const service of services) {
    let byNamespace = byHost.get(service.hostname);
    if (byNamespace === undefined) {
      byNamespace = new Map();
      byHost.set(service.hostname, byNamespace);
    }
    const existing = byNamespace.get(service.namespace);
    if (existing === undefined || (!existing.kubernetes && service.kubernetes))
      byNamespace.set(service.namespace, service);
  }
  return byHost;
}
