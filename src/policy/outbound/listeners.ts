/** The listeners of a sidecar's outbound side: for each service port, on its address or on all, merged where they meet. */

import { parsePortProtocol } from "../../model/app-protocol.ts";
import type { AppProtocol } from "../../model/mesh.ts";
import { parseIpAddress } from "../ip-address.ts";
import { type ChainTarget, type FilterChain, sameConditions } from "./filter-chains.ts";
import { hostsOverlap, isWildcard, MESH_GATEWAY } from "./host-name.ts";
import type { RouteClient } from "./http-match.ts";
import { createHttpTable, type HttpTable, notFound } from "./http-table.ts";
import { l4Concerns } from "./l4-match.ts";
import type { ProxyView } from "./proxy-view.ts";
import { type RegistryService, UNSPECIFIED, virtualAddress } from "./registry.ts";
import type { EgressListener } from "./sidecar-scope.ts";
import { forwardByRoute, forwardToService, type TcpForward } from "./tcp-forward.ts";
import type { ListenerProtocol, RouteRef } from "./types.ts";
import { decideUnknown } from "./unknown-destination.ts";
import { buildVirtualHosts, shortNames, type VirtualHost } from "./virtual-hosts.ts";
import type { VirtualService } from "./virtual-services.ts";

export interface Listener {
  /** `0.0.0.0_9080` */
  readonly name: string;
  readonly protocol: ListenerProtocol;
  readonly chains: readonly FilterChain[];
}

/** The key of a listener: address (or its stand-in) and port. */
export function listenerName(address: string, port: number): string {
  return `${address}_${port}`;
}

type Family = "http" | "tcp" | "auto";

interface ListenerEntry {
  readonly protocol: AppProtocol;
  family: Family;
  chains: FilterChain[];
  /** Declared by a Sidecar on a port of its own: no other service joins it. */
  locked: boolean;
}

/** One service on one port, about to be given a listener. */
interface Candidate {
  readonly service: RegistryService;
  readonly port: { readonly port: number; readonly protocol: AppProtocol };
  readonly egress: EgressListener;
  readonly bind: string | undefined;
}

function familyOf(protocol: AppProtocol): Family {
  if (protocol === "http" || protocol === "http2" || protocol === "grpc") return "http";
  return protocol === "auto" ? "auto" : "tcp";
}

function isTls(protocol: AppProtocol): boolean {
  return protocol === "https" || protocol === "tls";
}

/** Builds the listeners of one view. Own addresses are left out of headless services: nobody reaches itself by proxy. */
export function buildListeners(
  view: ProxyView,
  ownAddress: string | undefined,
): ReadonlyMap<string, Listener> {
  const builder = new ListenerBuilder(view, ownAddress);
  for (const egress of view.scope.listeners) builder.addEgress(egress);
  return builder.finish();
}

class ListenerBuilder {
  readonly #view: ProxyView;
  readonly #ownAddress: string | undefined;
  readonly #entries = new Map<string, ListenerEntry>();
  readonly #tables = new Map<string, HttpTable>();

  constructor(view: ProxyView, ownAddress: string | undefined) {
    this.#view = view;
    this.#ownAddress = ownAddress;
  }

  addEgress(egress: EgressListener): void {
    if (egress.port !== undefined) {
      const port = { port: egress.port.number, protocol: parsePortProtocol(egress.port.protocol) };
      for (const service of egress.services) this.#add({ service, port, egress, bind: egress.bind });
      return;
    }
    for (const entry of this.#entries.values()) entry.locked = true;
    for (const service of egress.services)
      for (const port of service.ports) this.#addServicePort({ service, port, egress, bind: egress.bind });
  }

  finish(): ReadonlyMap<string, Listener> {
    const listeners = new Map<string, Listener>();
    for (const [name, { family, chains }] of this.#entries)
      listeners.set(name, { name, protocol: family, chains });
    return listeners;
  }

  /** Headless services: clients dial endpoints, so TCP listens on each. HTTP is told apart by Host anyway. */
  #addServicePort(candidate: Candidate): void {
    const { service, port } = candidate;
    const perEndpoint =
      candidate.bind === undefined &&
      (service.resolution === "passthrough" || service.resolution === "none") &&
      service.address === UNSPECIFIED &&
      familyOf(port.protocol) !== "http";
    const placed = perEndpoint ? service.group.onPort(port.port) : undefined;
    if (placed === undefined || (!service.kubernetes && placed.length === 0 && !service.hasSelector)) {
      this.#add(candidate);
      return;
    }
    for (const { address } of placed) {
      if (address === undefined || address === this.#ownAddress) continue;
      if (parseIpAddress(address) !== undefined) this.#add({ ...candidate, bind: address });
    }
    // For those who name the service itself, and where addresses are not known yet.
    this.#add({ ...candidate, bind: virtualAddress(service.hostname) });
  }

  #add(candidate: Candidate): void {
    const { service, port } = candidate;
    if (service.resolution === "alias" || port.protocol === "udp") return;
    const family = familyOf(port.protocol);
    const { bind, blocks } = bindOf(candidate, family);
    const name = listenerName(bind, port.port);
    const current = this.#entries.get(name);
    if (current?.locked === true) return;
    if (family === "http" && current !== undefined && current.family !== "tcp") return;
    const chains = this.#chainsOf(candidate, family, bind, blocks, current);
    if (current === undefined || (family === "auto" && current.family === "http")) {
      const merged = family === "http" && bind === UNSPECIFIED ? "auto" : family;
      this.#entries.set(name, { protocol: port.protocol, family: merged, chains, locked: false });
    } else if (!clashesWithServerFirst(port.protocol, current.protocol)) {
      join(current, chains, family);
    }
  }

  #chainsOf(
    candidate: Candidate,
    family: Family,
    bind: string,
    blocks: readonly string[],
    current: ListenerEntry | undefined,
  ): FilterChain[] {
    const tcp = (): FilterChain[] => byteChains(this.#view, candidate, bind, blocks);
    if (family === "tcp") return tcp();
    const shared = family === "http" || bind === UNSPECIFIED;
    const http: FilterChain = {
      serverNames: [],
      blocks: [],
      onlyHttp: family === "auto" || bind === UNSPECIFIED,
      target: this.#httpTarget(candidate, shared),
    };
    if (family === "http") return [http];
    return current?.family === "auto" ? tcp() : [...tcp(), http];
  }

  /** All services of a port share their routes; one detected on an address of its own has only those for itself. */
  #httpTarget({ service, port, egress }: Candidate, shared: boolean): ChainTarget {
    const key = shared ? `${port.port}` : `${service.hostname}:${port.port}`;
    let table = this.#tables.get(key);
    if (table === undefined) {
      const listener = this.#egressFor(port.port) ?? egress;
      table = shared
        ? sharedTable(this.#view, listener, port.port)
        : ownTable(this.#view, listener, service.hostname, port.port);
      this.#tables.set(key, table);
    }
    return { kind: "http", table };
  }

  /** The egress listener whose services and routes an HTTP port serves. */
  #egressFor(port: number): EgressListener | undefined {
    return this.#view.scope.listeners.find(
      (egress) => egress.port === undefined || egress.port.number === port,
    );
  }
}

function bindOf(
  { service, bind }: Candidate,
  family: Family,
): { readonly bind: string; readonly blocks: readonly string[] } {
  if (bind !== undefined) return { bind, blocks: [] };
  if (family === "http") return { bind: UNSPECIFIED, blocks: [] };
  if (service.address.includes("/"))
    return { bind: UNSPECIFIED, blocks: [service.address, ...service.extraAddresses] };
  return { bind: service.address, blocks: [] };
}

/** Protocols in which the server speaks first cannot share a port with any that must be detected. */
function clashesWithServerFirst(incoming: AppProtocol, existing: AppProtocol): boolean {
  const serverFirst = (protocol: AppProtocol): boolean => protocol === "mongo" || protocol === "mysql";
  return incoming !== existing && (serverFirst(incoming) || serverFirst(existing));
}

function join(entry: ListenerEntry, chains: readonly FilterChain[], family: Family): void {
  for (const chain of chains)
    if (!entry.chains.some((existing) => sameConditions(existing, chain))) entry.chains.push(chain);
  if (family !== entry.family) entry.family = "auto";
}

function sharedTable(view: ProxyView, egress: EgressListener, port: number): HttpTable {
  const { pathNormalization } = view.index.mesh.config;
  return createHttpTable(
    pathNormalization,
    () => buildVirtualHosts(view, egress, port),
    (request, listener) => decideUnknown(view, { kind: "http", request }, listener, undefined),
  );
}

/** The routes of one service alone, for whatever Host. */
function ownTable(view: ProxyView, egress: EgressListener, hostname: string, port: number): HttpTable {
  const { pathNormalization } = view.index.mesh.config;
  const own = (host: VirtualHost): boolean => host.domains.includes(hostname);
  return createHttpTable(
    pathNormalization,
    () => {
      // At most one: a domain is given once.
      const hosts = buildVirtualHosts(view, egress, port).hosts.filter(own);
      return { hosts: hosts.map((host) => ({ ...host, domains: ["*"] })), namesIn: () => [] };
    },
    (_request, listener) => notFound(listener),
  );
}

const L4_VIRTUAL_SERVICES = new WeakMap<EgressListener, readonly VirtualService[]>();

/** Most VirtualServices are for HTTP alone: left out once, not for each port of each service. */
function l4VirtualServices(egress: EgressListener): readonly VirtualService[] {
  let own = L4_VIRTUAL_SERVICES.get(egress);
  if (own === undefined) {
    own = egress.virtualServices.filter(({ tls, tcp }) => tls.length > 0 || tcp.length > 0);
    L4_VIRTUAL_SERVICES.set(egress, own);
  }
  return own;
}

/** The chains that forward bytes: by the VirtualServices' tls or tcp routes, else to the service itself. */
function byteChains(
  view: ProxyView,
  candidate: Candidate,
  bind: string,
  blocks: readonly string[],
): FilterChain[] {
  const virtualServices = l4VirtualServices(candidate.egress).filter((own) =>
    own.hosts.some((host) => hostsOverlap(host, candidate.service.hostname)),
  );
  const client: RouteClient = {
    namespace: view.namespace,
    labels: view.labels,
    gateway: MESH_GATEWAY,
    listenPort: candidate.port.port,
  };
  return isTls(candidate.port.protocol)
    ? tlsChains(view, candidate, client, virtualServices, bind, blocks)
    : tcpChains(view, candidate, client, virtualServices, blocks);
}

function tlsChains(
  view: ProxyView,
  candidate: Candidate,
  client: RouteClient,
  virtualServices: readonly VirtualService[],
  bind: string,
  ownBlocks: readonly string[],
): FilterChain[] {
  const chains: FilterChain[] = [];
  const handled = new Set<string>();
  let blocks = ownBlocks;
  for (const own of virtualServices) {
    for (const [index, { match = [], route = [] }] of own.tls.entries()) {
      if (route.length === 0) continue;
      for (const condition of match) {
        if (!l4Concerns(condition, client)) continue;
        const subnets = condition.destinationSubnets ?? [];
        // As in Istio the subnets of one condition stay in force for those after it.
        if (subnets.length > 0) blocks = subnets;
        const serverNames = condition.sniHosts ?? [];
        const key = `${serverNames.join(",")}|${subnets.join(",")}`;
        if (handled.has(key)) continue;
        handled.add(key);
        const by: RouteRef = { resource: own.ref, section: "tls", route: index };
        const forward = forwardByRoute(view, by, route, client.listenPort);
        chains.push(byteChain(serverNames, blocks, forward));
      }
    }
  }
  if (chains.length > 0) return chains;
  const serverNames = needsServerName(candidate.service, bind, blocks)
    ? serviceNames(candidate.service, view.namespace)
    : [];
  return [byteChain(serverNames, blocks, defaultForward(view, candidate))];
}

/** Without an address of its own a TLS service can only be told by its SNI. */
function needsServerName(service: RegistryService, bind: string, blocks: readonly string[]): boolean {
  if (blocks.length > 0 || (service.address === UNSPECIFIED && bind === UNSPECIFIED)) return true;
  return service.resolution === "dynamic-dns" && isWildcard(service.hostname);
}

function serviceNames(service: RegistryService, clientNamespace: string): readonly string[] {
  const aliases = service.aliases.map((alias) => alias.hostname);
  return [service.hostname, ...aliases.flatMap((alias) => [alias, ...shortNames(alias, clientNamespace)])];
}

function tcpChains(
  view: ProxyView,
  candidate: Candidate,
  client: RouteClient,
  virtualServices: readonly VirtualService[],
  blocks: readonly string[],
): FilterChain[] {
  const chains: FilterChain[] = [];
  for (const own of virtualServices) {
    for (const [index, { match = [], route = [] }] of own.tcp.entries()) {
      if (route.length === 0) continue;
      const by: RouteRef = { resource: own.ref, section: "tcp", route: index };
      const forward = forwardByRoute(view, by, route, client.listenPort);
      const concerned = match.filter((condition) => l4Concerns(condition, client));
      const subnets = concerned.map(({ destinationSubnets }) => destinationSubnets ?? []);
      const ends = match.length === 0 || subnets.some((own) => own.length === 0);
      if (ends) return [...chains, byteChain([], blocks, forward)];
      if (subnets.length > 0) chains.push(byteChain([], subnets.flat(), forward));
    }
  }
  const standard = byteChain([], blocks, defaultForward(view, candidate));
  return chains.some((chain) => sameConditions(chain, standard)) ? chains : [...chains, standard];
}

function byteChain(
  serverNames: readonly string[],
  blocks: readonly string[],
  forward: TcpForward,
): FilterChain {
  return { serverNames, blocks, onlyHttp: false, target: { kind: "tcp", forward } };
}

/** On a port that a Sidecar declares, a service with one port only is reached by that one. */
function defaultForward(view: ProxyView, { service, port }: Candidate): TcpForward {
  const only = service.ports.length === 1 ? service.ports[0]?.port : undefined;
  return forwardToService(view, service.hostname, only ?? port.port);
}
