/** What a client dials: an address, or a name that stands for one. */
import type { Service } from "../../model/mesh.ts";
import { type IpAddress, parseIpAddress } from "../ip-address.ts";
import { CLUSTER_DOMAIN } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import { type Registry, type RegistryService, UNSPECIFIED, virtualAddress } from "./registry.ts";
import type { DialedDestination } from "./types.ts";

export interface Destination {
  /** The address, or its stand-in, that listeners are looked up by; undefined for an external name. */
  readonly key?: string;
  readonly address?: IpAddress;
  /** The service that the name or address belongs to, whether or not the client may see it: DNS knows no exportTo. */
  readonly service?: Service;
}

export function findDestination(view: ProxyView, { ip, host }: DialedDestination): Destination {
  const { registry } = view.index;
  if (ip !== undefined) return byAddress(registry, ip);
  if (host === undefined) return {};
  const literal = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (parseIpAddress(literal) !== undefined) return byAddress(registry, literal);
  const service = findByName(registry, host, view.namespace);
  return service === undefined ? {} : byService(service);
}

function byAddress(registry: Registry, ip: string): Destination {
  const address = parseIpAddress(ip);
  const service = addressTable(registry).get(ip)?.model;
  return {
    key: ip,
    ...(address === undefined ? {} : { address }),
    ...(service === undefined ? {} : { service }),
  };
}

/** A service that has no address of its own is known by its stand-in. */
function byService(service: RegistryService): Destination {
  const own = service.address.split("/", 1)[0] ?? service.address;
  const address = service.address === UNSPECIFIED ? undefined : parseIpAddress(own);
  const named = service.address === UNSPECIFIED ? virtualAddress(service.model.hostname) : own;
  return {
    key: named,
    ...(address === undefined ? {} : { address }),
    service: service.model,
  };
}

const TABLES = new WeakMap<Registry, ReadonlyMap<string, RegistryService>>();

function addressTable(registry: Registry): ReadonlyMap<string, RegistryService> {
  const known = TABLES.get(registry);
  if (known !== undefined) return known;
  const table = new Map<string, RegistryService>();
  for (const service of registry.services)
    for (const address of [service.address, ...service.extraAddresses])
      if (address !== UNSPECIFIED && !table.has(address)) table.set(address, service);
  TABLES.set(registry, table);
  return table;
}

/** As the cluster's DNS resolves a name for a pod: as it is, then by the search path. One pod of a headless service is the service. */
function findByName(registry: Registry, host: string, namespace: string): RegistryService | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  const tried = [
    name,
    `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`,
    `${name}.svc.${CLUSTER_DOMAIN}`,
    `${name}.${CLUSTER_DOMAIN}`,
  ];
  for (const candidate of tried) {
    const found =
      preferOwn(registry.findAll(candidate), namespace) ?? headlessOwner(registry, candidate, namespace);
    if (found !== undefined) return followAlias(registry, found, namespace);
  }
  return undefined;
}

function preferOwn(
  byNamespace: ReadonlyMap<string, RegistryService> | undefined,
  namespace: string,
): RegistryService | undefined {
  if (byNamespace === undefined) return undefined;
  const own = byNamespace.get(namespace);
  return (
    own ?? [...byNamespace.values()].find((service) => service.kubernetes) ?? [...byNamespace.values()][0]
  );
}

function headlessOwner(registry: Registry, name: string, namespace: string): RegistryService | undefined {
  const dot = name.indexOf(".");
  const owner = dot < 0 ? undefined : preferOwn(registry.findAll(name.slice(dot + 1)), namespace);
  return owner?.kubernetes === true && owner.resolution === "passthrough" ? owner : undefined;
}

function followAlias(
  registry: Registry,
  service: RegistryService,
  namespace: string,
): RegistryService | undefined {
  let at: RegistryService | undefined = service;
  for (let hops = 0; at?.externalName !== undefined; hops++) {
    if (hops > MAX_ALIASES) return undefined;
    at = preferOwn(registry.findAll(at.externalName), namespace);
  }
  return at;
}

/** DNS servers give up on longer chains of CNAMEs as well. */
const MAX_ALIASES = 16;
