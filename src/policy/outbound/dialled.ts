/** What a client dials: an address, or a name that stands for one. */
import type { Service } from "../../model/mesh.ts";
import { parseIpAddress } from "../ip-address.ts";
import { CLUSTER_DOMAIN } from "./host-name.ts";
import type { ProxyView } from "./proxy-view.ts";
import { type Registry, type RegistryService, UNSPECIFIED, virtualAddress } from "./registry.ts";
import type { DialedDestination } from "./types.ts";

export interface Destination {
  /** The address, or its stand-in, that listeners are looked up by; undefined for an external name. */
  readonly key?: string;
  readonly address?: string;
  /** The service that the name or address belongs to, whether or not the client may see it: DNS knows no exportTo. */
  readonly service?: Service;
}

export function findDestination(view: ProxyView, { ip, host }: DialedDestination): Destination {
  const { registry } = view.index;
  if (ip !== undefined) return byAddress(registry, ip);
  if (host === undefined) return UNKNOWN;
  const name = host.toLowerCase();
  const names = knownNames(view);
  const known = names.get(name);
  if (known !== undefined) return known;
  const literal = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  if (parseIpAddress(literal) !== undefined) return byAddress(registry, literal);
  const found = findByName(registry, name, view.namespace);
  if (found === undefined) return UNKNOWN;
  const destination = byService(found.service);
  if (found.byOwnName) names.set(name, destination);
  return destination;
}

const UNKNOWN: Destination = Object.freeze({});

/**
 * INVARIANT: bounded. Only names that services themselves have are kept, in their few spellings; a client can make up
 * neither those nor, by names that nobody has, anything that stays.
 */
const NAMES = new WeakMap<ProxyView, Map<string, Destination>>();

function knownNames(view: ProxyView): Map<string, Destination> {
  let names = NAMES.get(view);
  if (names === undefined) {
    names = new Map();
    NAMES.set(view, names);
  }
  return names;
}

function byAddress(registry: Registry, ip: string): Destination {
  const found = addressTable(registry).get(ip);
  if (found === undefined) return { key: ip, address: ip };
  // A service of two addresses has one listener, which stands by the first.
  const key = found.extraAddresses.includes(ip) ? found.address : ip;
  return { key, address: ip, service: found.model };
}

/** A service that has no address of its own is known by its stand-in. */
function byService({ address, model }: RegistryService): Destination {
  if (address === UNSPECIFIED) return { key: virtualAddress(model.hostname), service: model };
  const own = address.split("/", 1)[0] ?? address;
  return { key: own, address: own, service: model };
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

interface FoundByName {
  readonly service: RegistryService;
  /** Not by the name of one of a headless service's pods, which clients can make up. */
  readonly byOwnName: boolean;
}

/** As the cluster's DNS resolves a name for a pod: as it is, then by the search path. One pod of a headless service is the service. */
function findByName(registry: Registry, host: string, namespace: string): FoundByName | undefined {
  for (const candidate of searched(host, namespace)) {
    const own = preferOwn(registry.findAll(candidate), namespace);
    const found = own ?? headlessOwner(registry, candidate, namespace);
    if (found === undefined) continue;
    const service = followAlias(registry, found, namespace);
    return service === undefined ? undefined : { service, byOwnName: own !== undefined };
  }
  return undefined;
}

/** By the search path of a pod's resolver. */
function searched(host: string, namespace: string): readonly string[] {
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  return [
    name,
    `${name}.${namespace}.svc.${CLUSTER_DOMAIN}`,
    `${name}.svc.${CLUSTER_DOMAIN}`,
    `${name}.${CLUSTER_DOMAIN}`,
  ];
}

/** The Kubernetes Service that the cluster's DNS answers for, through aliases: all that it knows. Undefined: none. */
export function kubernetesByName(
  registry: Registry,
  host: string,
  namespace: string,
): RegistryService | undefined {
  let names = searched(host.toLowerCase(), namespace);
  for (let hops = 0; hops <= MAX_ALIASES; hops++) {
    const found = names.flatMap((name) => kubernetesNamed(registry, name) ?? [])[0];
    if (found?.externalName === undefined) return found;
    names = [found.externalName.toLowerCase()];
  }
  return undefined;
}

function kubernetesNamed(registry: Registry, name: string): RegistryService | undefined {
  const own = [...(registry.findAll(name)?.values() ?? [])].find(({ kubernetes }) => kubernetes);
  if (own !== undefined) return own;
  const owner = headlessOwner(registry, name, "");
  return owner?.kubernetes === true ? owner : undefined;
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
