/** Who may reach whom, and by what requests: what network policies and servers' proxies let through together. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { AuthorizationCache } from "../../policy/authorization-cache.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import type { NetworkProtocol } from "../../policy/network/connection-set.ts";
import { INGRESS_CONTROLLER, type MapNode, mapNodes } from "../../policy/network/map-nodes.ts";
import { type MapEntry, type MeshMapOptions, meshMap } from "../../policy/network/mesh-map.ts";
import { formatPorts, type PortSet, unionPorts } from "../../policy/network/port-set.ts";
import { isUndecidedThroughHbone, throughHbone } from "../../policy/through-hbone.ts";
import {
  asWaypoint,
  ingressUsesWaypoint,
  waypointOfService,
  waypointOfWorkload,
} from "../../policy/waypoint/waypoints.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { ambientServer } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { Complexity } from "../space/complexity.ts";
import type { AnalysedServer } from "../space/server-space.ts";
import { callerAt, principalOf } from "./caller.ts";
import { gatewayExposures } from "./gateway-exposures.ts";
import { type MeshWay, meshWay, portsBehind } from "./mesh-way.ts";
import { notAnalysed } from "./not-analysed.ts";
import { type Caller, type PortAccess, ServerAccess } from "./server-access.ts";
import { waypointLines } from "./waypoint-lines.ts";

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
  const nodes = mapNodes(mesh)
    .flatMap((node) => apart(mesh, node))
    .map((node) => withWaypoints(mesh, node));
  const { keep = () => true } = options;
  const candidates = judge.candidates(nodes);
  for (const entry of meshMap(mesh, { ...options, nodes, candidates })) {
    if (!keep(entry)) continue;
    const judged = judge.judge(entry);
    if (judged !== undefined) yield judged;
  }
  const podAccess = (server: Workload, way: MeshWay) => judge.accessOf(server, way);
  for (const line of waypointLines(mesh, nodes, podAccess, options)) if (keep(line)) yield line;
  for (const { entry, from, via, unclear } of gatewayExposures(mesh, nodes, options)) {
    const judged = unclear === undefined ? judge.judge(entry) : unjudged(entry, notAnalysed(unclear));
    if (judged === undefined) continue;
    const { source: _, ...line } = judged;
    const exposed = { ...line, from, via };
    if (keep(exposed)) yield exposed;
  }
}

/** Pods of a waypoint are known as what they run. */
function withWaypoints(mesh: Mesh, node: MapNode): MapNode {
  const { workloads } = node;
  if (workloads.every((own) => asWaypoint(mesh, own) === undefined)) return node;
  return { ...node, workloads: workloads.map((own) => asWaypoint(mesh, own) ?? own) };
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
  readonly #complexity = new Complexity();
  readonly #classes = new Map<string, ServerAccess | AnalysisLimit>();
  readonly #ofWorkload = new Map<Workload, ServerAccess | AnalysisLimit>();
  /** The same behind sidecars, through HBONE. */
  readonly #ofTunnelled = new Map<Workload, ServerAccess | AnalysisLimit>();

  constructor(mesh: Mesh, options: AccessMapOptions) {
    this.#mesh = mesh;
    this.#options = options;
  }

  /** Undefined: nothing gets through. */
  judge(entry: MapEntry): AccessEntry | undefined {
    const server = entry.destination?.workloads[0];
    if (server === undefined) return unjudged(entry, LEAVES);
    if (entry.from === INGRESS_CONTROLLER) return unjudged(entry, CONTROLLER);
    if (server.role === "waypoint") return unjudged(entry, WAYPOINT);
    try {
      this.#refuseByWaypoint(entry, server);
      const way = meshWay(this.#mesh, entry.source?.workloads[0], server);
      const caller = callerOf(entry, server, way);
      const access = this.accessOf(server, way).from(caller, portsBehind(way, entry.set.ports.TCP));
      const past = this.#options.pastProxies === true ? NOT_TCP : [];
      const connections = connectionsText(access, entry, server, past);
      return connections === "" ? undefined : { ...entry, connections, access, past };
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      return unjudged(entry, notAnalysed(error.message));
    }
  }

  /**
   * Who speaks to a pod by a waypoint does not speak to it.
   * @throws {AnalysisLimit} where what the waypoint lets through is not in the map's lines.
   */
  #refuseByWaypoint({ source }: MapEntry, server: Workload): void {
    const [client] = source?.workloads ?? [];
    if (server.dataplane !== "ambient" || client === undefined) return;
    if (client.dataplane === "ambient" && waypointOfWorkload(this.#mesh, server).kind !== "none")
      throw new AnalysisLimit("a waypoint for workloads stands before it");
    if (client.role !== "gateway") return;
    const byWaypoint = this.#mesh.services.some(
      (service) =>
        service.endpoints.some(({ workload }) => workload === server) &&
        ingressUsesWaypoint(this.#mesh, service) &&
        waypointOfService(this.#mesh, service).kind !== "none",
    );
    if (byWaypoint) throw new AnalysisLimit("the gateway sends to its waypoint");
  }

  /** Of each caller, the places of those that may let some request of it through, or of which nobody knows. */
  candidates(nodes: readonly MapNode[]): (from: number) => readonly number[] | undefined {
    const open: number[] = [];
    const behindSidecars: number[] = [];
    const named = new Map<string | null, number[]>();
    for (const [at, { workloads }] of nodes.entries()) {
      const callers = this.#namedCallers(workloads[0]);
      if (callers === undefined) {
        open.push(at);
        continue;
      }
      if (workloads[0]?.dataplane === "sidecar") behindSidecars.push(at);
      for (const principal of [...callers.principals, ...(callers.anonymous ? [null] : [])]) {
        const list = named.get(principal);
        if (list === undefined) named.set(principal, [at]);
        else list.push(at);
      }
    }
    return (from) => {
      const [workload] = nodes[from]?.workloads ?? [];
      if (workload === undefined) return undefined;
      const own = named.get(principalOf(workload)) ?? [];
      // To a sidecar a ztunnel speaks otherwise than sidecars do, which the named callers are of.
      if (speaksHboneAlone(workload)) return ascending(open, own, behindSidecars);
      return own.length === 0 ? open : ascending(open, own);
    };
  }

  /** Undefined: anybody. */
  #namedCallers(server: Workload | undefined): ReturnType<ServerAccess["namedCallers"]> {
    if (server === undefined || server.dataplane === "none" || this.#options.pastProxies === true)
      return undefined;
    const found = this.#found(server, false);
    return found instanceof AnalysisLimit ? undefined : found.namedCallers();
  }

  /** @throws {AnalysisLimit} where it is not analysed. */
  accessOf(server: Workload, way: MeshWay): ServerAccess {
    const found = this.#found(server, way === "hbone" && server.dataplane === "sidecar");
    if (found instanceof AnalysisLimit) throw found;
    return found;
  }

  #found(server: Workload, isTunnelled: boolean): ServerAccess | AnalysisLimit {
    const known = isTunnelled ? this.#ofTunnelled : this.#ofWorkload;
    let found = known.get(server);
    if (found === undefined) {
      const key = `${isTunnelled ? "hbone\n" : ""}${serverFacts(this.#mesh, server).text}`;
      found = this.#classes.get(key) ?? orLimit(() => this.#compile(server, isTunnelled));
      this.#classes.set(key, found);
      known.set(server, found);
    }
    return found;
  }

  #compile(server: Workload, isTunnelled: boolean): ServerAccess {
    const { semantics } = this.#options;
    if (server.role !== "application") throw new AnalysisLimit(`a ${server.role}'s own listeners`);
    if (server.dataplane === "ambient") return this.#analyse(ambientServer(this.#mesh, server, semantics));
    const policy = compileInbound(this.#mesh, server, { semantics, cache: this.#cache });
    if (!isTunnelled) return this.#analyse(policy);
    if (isUndecidedThroughHbone(policy, true) || isUndecidedThroughHbone(policy, false))
      throw new AnalysisLimit("an external authorizer behind HBONE");
    return this.#analyse(throughHbone(policy));
  }

  #analyse(server: AnalysedServer): ServerAccess {
    const { keepsRegions = false } = this.#options;
    return this.#complexity.of([server], () => new ServerAccess(server, keepsRegions));
  }
}

function orLimit(make: () => ServerAccess): ServerAccess | AnalysisLimit {
  try {
    return make();
  } catch (error) {
    if (error instanceof AnalysisLimit) return error;
    throw error;
  }
}

function speaksHboneAlone({ dataplane, role }: Workload): boolean {
  return dataplane === "ambient" || role === "waypoint";
}

function ascending(...lists: readonly (readonly number[])[]): readonly number[] {
  return [...new Set(lists.flat())].sort((a, b) => a - b);
}

const NOT_TCP: readonly NetworkProtocol[] = ["SCTP", "UDP"];
const LEAVES = "not judged: it leaves the mesh by the client's own proxy";
const WAYPOINT = "not judged: what a waypoint lets through is in the lines by it";
const CONTROLLER = "not judged: the controller's identity is not known";

function unjudged(entry: MapEntry, why: string): AccessEntry {
  return { ...entry, access: null, why };
}

/** Whom no proxy asks who he is. */
const ANYBODY: Caller = { principal: null };

/** As the client's own data plane speaks. */
function callerOf(entry: MapEntry, server: Workload, way: MeshWay): Caller {
  const { source, set, range } = entry;
  if (set.ports.TCP.length === 0 || server.dataplane === "none") return ANYBODY;
  return source === undefined
    ? { principal: null, ...(range === undefined ? {} : { addresses: [range] }) }
    : callerAt(source, way);
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
