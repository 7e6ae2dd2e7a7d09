/** Who may reach whom, and by what requests: what network policies and servers' proxies let through together. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { AuthorizationCache } from "../../policy/authorization-cache.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import { addressRange } from "../../policy/network/address-range.ts";
import type { NetworkProtocol } from "../../policy/network/connection-set.ts";
import { INGRESS_CONTROLLER, type MapNode, mapNodes } from "../../policy/network/map-nodes.ts";
import { type MapEntry, type MeshMapOptions, meshMap } from "../../policy/network/mesh-map.ts";
import { formatPorts, type PortSet, unionPorts } from "../../policy/network/port-set.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { gatewayExposures } from "./gateway-exposures.ts";
import { type Caller, type PortAccess, ServerAccess } from "./server-access.ts";

export interface AccessMapOptions extends MeshMapOptions {
  readonly semantics: Semantics;
  /** Also UDP and SCTP to pods with a proxy, which go past it; without, TCP alone. */
  readonly pastProxies?: boolean;
  /** Whether lines carry the regions that their words are of. */
  readonly keepsRegions?: boolean;
  /** Which lines are wanted; others cost nothing more than the network's map. */
  readonly keep?: (entry: MapEntry) => boolean;
}

/** A line of the network's map as far as the mesh lets it through. */
export interface AccessEntry extends MapEntry {
  /** By TCP ports. Null: the mesh does not judge it, or it is not analysed; `why` tells. */
  readonly access: readonly PortAccess[] | null;
  readonly why?: string;
  /** Protocols that are shown although no proxy sees them. */
  readonly past?: readonly NetworkProtocol[];
  /** From outside by a gateway: which, for which hosts, and what says so. */
  readonly via?: { readonly hosts: readonly string[]; readonly routes: readonly string[] };
}

/**
 * The lines of {@link meshMap} that somebody may send something by, each with the requests that the server takes from that
 * caller. Then, for each gateway, what its routes lead to. Nothing is collected.
 */
export function* accessMap(mesh: Mesh, options: AccessMapOptions): Generator<AccessEntry> {
  const judge = new ServerJudge(mesh, options);
  const nodes = mapNodes(mesh).flatMap((node) => apart(mesh, node));
  const { keep = () => true } = options;
  const candidates = judge.candidates(nodes);
  for (const entry of meshMap(mesh, { ...options, nodes, candidates })) {
    if (!keep(entry)) continue;
    const judged = judge.judge(entry);
    if (judged !== undefined) yield judged;
  }
  for (const { entry, from, via } of gatewayExposures(mesh, nodes, options)) {
    const judged = judge.judge(entry);
    if (judged === undefined) continue;
    const { source: _, ...line } = judged;
    const exposed = { ...line, from, via };
    if (keep(exposed)) yield exposed;
  }
}

/** Pods of one owner that servers' policies, or their own identities, tell apart stand by their own names. */
function apart(mesh: Mesh, node: MapNode): readonly MapNode[] {
  const { workloads } = node;
  if (workloads.length < 2) return [node];
  const facts = new Set(
    workloads.map((own) => `${own.spiffeId} ${own.dataplane} ${serverFacts(mesh, own).text}`),
  );
  if (facts.size === 1) return [node];
  return workloads.map((workload) => {
    const label = `${workload.namespace}/${workload.name}[${workload.kind}]`;
    return { label, pod: { ...node.pod, name: label, addresses: workload.addresses }, workloads: [workload] };
  });
}

/** Asks each class of workloads with equal policies once. */
class ServerJudge {
  readonly #mesh: Mesh;
  readonly #options: AccessMapOptions;
  readonly #cache = new AuthorizationCache();
  readonly #classes = new Map<string, ServerAccess | AnalysisLimit>();
  readonly #ofWorkload = new Map<Workload, ServerAccess | AnalysisLimit>();

  constructor(mesh: Mesh, options: AccessMapOptions) {
    this.#mesh = mesh;
    this.#options = options;
  }

  /** Undefined: nothing gets through. */
  judge(entry: MapEntry): AccessEntry | undefined {
    const server = entry.destination?.workloads[0];
    if (server === undefined) return unjudged(entry, LEAVES);
    if (entry.from === INGRESS_CONTROLLER) return unjudged(entry, CONTROLLER);
    try {
      const caller = callerOf(entry, server);
      const access = this.#accessOf(server).from(caller, entry.set.ports.TCP);
      const past = this.#options.pastProxies === true ? NOT_TCP : [];
      const connections = connectionsText(access, entry, server, past);
      return connections === "" ? undefined : { ...entry, connections, access, past };
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      return unjudged(entry, `not analysed: ${error.message}`);
    }
  }

  /** Of each caller, the places of those that may let some request of it through, or of which nobody knows. */
  candidates(nodes: readonly MapNode[]): (from: number) => readonly number[] | undefined {
    const open: number[] = [];
    const named = new Map<string | null, number[]>();
    for (const [at, { workloads }] of nodes.entries()) {
      const callers = this.#namedCallers(workloads[0]);
      if (callers === undefined) {
        open.push(at);
        continue;
      }
      for (const principal of [...callers.principals, ...(callers.anonymous ? [null] : [])]) {
        const list = named.get(principal);
        if (list === undefined) named.set(principal, [at]);
        else list.push(at);
      }
    }
    return (from) => {
      const [workload] = nodes[from]?.workloads ?? [];
      if (workload === undefined || workload.dataplane === "ambient") return undefined;
      const own = named.get(principalOf(workload)) ?? [];
      return own.length === 0 ? open : [...open, ...own].sort((a, b) => a - b);
    };
  }

  /** Undefined: anybody. */
  #namedCallers(server: Workload | undefined): ReturnType<ServerAccess["namedCallers"]> {
    if (server === undefined || server.dataplane === "none" || this.#options.pastProxies === true)
      return undefined;
    const found = this.#found(server);
    return found instanceof AnalysisLimit ? undefined : found.namedCallers();
  }

  #accessOf(server: Workload): ServerAccess {
    const found = this.#found(server);
    if (found instanceof AnalysisLimit) throw found;
    return found;
  }

  #found(server: Workload): ServerAccess | AnalysisLimit {
    let found = this.#ofWorkload.get(server);
    if (found === undefined) {
      const key = serverFacts(this.#mesh, server).text;
      found = this.#classes.get(key) ?? this.#compile(server);
      this.#classes.set(key, found);
      this.#ofWorkload.set(server, found);
    }
    return found;
  }

  #compile(server: Workload): ServerAccess | AnalysisLimit {
    try {
      if (server.dataplane === "ambient") return new AnalysisLimit("ztunnel's policies");
      if (server.role !== "application") return new AnalysisLimit(`a ${server.role}'s own listeners`);
      const options = { semantics: this.#options.semantics, cache: this.#cache };
      return new ServerAccess(
        compileInbound(this.#mesh, server, options),
        this.#options.keepsRegions === true,
      );
    } catch (error) {
      if (error instanceof AnalysisLimit) return error;
      throw error;
    }
  }
}

const NOT_TCP: readonly NetworkProtocol[] = ["SCTP", "UDP"];
const LEAVES = "not judged: it leaves the mesh by the client's own proxy";
const CONTROLLER = "not judged: the controller's identity is not known";

function unjudged(entry: MapEntry, why: string): AccessEntry {
  return { ...entry, access: null, why };
}

const CALLERS = new WeakMap<MapNode, Caller>();

/** As the pod's own proxy speaks: with its identity, by mutual TLS. */
function callerOf(entry: MapEntry, server: Workload): Caller {
  const { source, set } = entry;
  if (set.ports.TCP.length === 0 || server.dataplane === "none") return ANYBODY;
  const known = source === undefined ? undefined : CALLERS.get(source);
  const caller = known ?? makeCaller(entry);
  if (source !== undefined) CALLERS.set(source, caller);
  return caller;
}

/** Whom no proxy asks who he is. */
const ANYBODY: Caller = { principal: null };

function makeCaller({ source, range }: MapEntry): Caller {
  if (source === undefined)
    return { principal: null, ...(range === undefined ? {} : { addresses: [range] }) };
  const [workload] = source.workloads;
  if (workload?.dataplane === "ambient") throw new AnalysisLimit("what a ztunnel sends to a sidecar");
  const known = source.workloads.map(({ addresses }) => addresses.flatMap((own) => addressRange(own) ?? []));
  const isKnown = known.every((own) => own.length > 0);
  return {
    principal: workload === undefined ? null : principalOf(workload),
    ...(isKnown ? { addresses: known.flat() } : {}),
  };
}

/** As which it is known to a server; null: it has no proxy that would show a certificate. */
function principalOf({ dataplane, spiffeId }: Workload): string | null {
  return dataplane === "sidecar" ? spiffeId.slice("spiffe://".length) : null;
}

const TCP_TEXTS = new WeakMap<readonly PortAccess[], string>();

function tcpText(access: readonly PortAccess[]): string {
  let text = TCP_TEXTS.get(access);
  if (text === undefined) {
    const ports = access.reduce<PortSet>((all, own) => unionPorts(all, own.ports), []);
    text = ports.length === 0 ? "" : `TCP ${formatPorts(ports)}`;
    TCP_TEXTS.set(access, text);
  }
  return text;
}

/** UDP and SCTP go past every proxy. */
function connectionsText(
  access: readonly PortAccess[],
  { set }: MapEntry,
  server: Workload,
  past: readonly NetworkProtocol[],
): string {
  if (server.dataplane === "none") return set.text;
  const texts = past.flatMap((protocol) =>
    set.ports[protocol].length === 0 ? [] : [`${protocol} ${formatPorts(set.ports[protocol])}`],
  );
  return [tcpText(access), ...texts].filter((text) => text !== "").join(",");
}
