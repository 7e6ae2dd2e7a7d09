/**
 * Where workloads may be sent something: each with where the connection ends on the network, and whom the policies there let in. The sets over all of them are
 * what reach is computed with.
 */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { takesHbone } from "../../policy/ambient/hbone.ts";
import type { InboundPolicy, Semantics } from "../../policy/inbound.ts";
import { compiledPolicies } from "../../policy/path/compiled-policies.ts";
import { waypointPolicies } from "../../policy/policy-attachment.ts";
import { serviceTargets } from "../../policy/port-protocol.ts";
import { throughHbone } from "../../policy/through-hbone.ts";
import { waypointOfService } from "../../policy/waypoint/waypoints.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { ambientServer } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { AnalysedServer } from "../space/server-space.ts";
import { addBits, type Bits, clearBit, hasBit, noBits, setBit } from "./bits.ts";
import { principalOf } from "./component.ts";
import type { GainGraph } from "./gains.ts";
import { type CallersQuestion, KnownIdentities, type PortCallers, serverCallers } from "./server-callers.ts";

const HBONE_PORT = 15_008;

/**
 * `direct`: to the pod's own port, by mutual TLS or in clear. `hbone`: through the tunnel port, with an identity. `clear`: to a pod in ambient mode, without
 * one. `waypoint`: to the waypoint of its service, which goes on to it.
 */
export type EntryWay = "direct" | "hbone" | "clear" | "waypoint";

export interface EntryPoint {
  /** Who is reached; place in the mesh's list. */
  readonly target: number;
  /** The container's. */
  readonly port: number;
  readonly way: EntryWay;
  /** Whose pod the connection ends at, and at which port: what network policies see. */
  readonly end: number;
  readonly endPort: number;
  /** Of `waypoint`: the service's host and port. */
  readonly service?: { readonly host: string; readonly port: number };
}

export class EntryPoints {
  readonly all: readonly EntryPoint[];
  /** Open to who shows no identity. */
  readonly anonymous: Bits;
  /** Open to every identity but exceptions. */
  readonly everybody: Bits;
  /** Of pods that ztunnels send to in clear. */
  readonly withoutTunnel: Bits;
  /** By the tunnel port, of pods and waypoints. */
  readonly tunnels: Bits;
  /** By the identities that policies name. */
  readonly #named = new Map<string, number[]>();
  readonly #refused = new Map<string, number[]>();
  readonly #namedAt: readonly (readonly string[])[];
  /** By where they end. */
  readonly byEnd: ReadonlyMap<number, readonly number[]>;
  readonly byTarget: ReadonlyMap<number, readonly number[]>;
  /** Workloads whose policies could not be analysed: they count as open to everybody. */
  readonly notAnalysed: readonly { readonly workload: string; readonly why: string }[];

  constructor(graph: GainGraph, semantics: Semantics) {
    const builder = new Builder(graph, semantics);
    const found = builder.build();
    this.all = found.map(({ entry }) => entry);
    this.notAnalysed = builder.notAnalysed;
    this.#namedAt = found.map(({ callers }) => [...callers.named]);
    this.anonymous = noBits(found.length);
    this.everybody = noBits(found.length);
    this.withoutTunnel = noBits(found.length);
    this.tunnels = noBits(found.length);
    const byEnd = new Map<number, number[]>();
    const byTarget = new Map<number, number[]>();
    for (const [at, { entry, callers, tunnelled }] of found.entries()) {
      if (callers.anonymous) setBit(this.anonymous, at);
      if (callers.everybody) setBit(this.everybody, at);
      if (!tunnelled) setBit(this.withoutTunnel, at);
      if (entry.way === "hbone" || entry.way === "waypoint") setBit(this.tunnels, at);
      const index = callers.everybody ? this.#refused : this.#named;
      for (const principal of callers.named) push(index, principal, at);
      push(byEnd, entry.end, at);
      push(byTarget, entry.target, at);
    }
    this.byEnd = byEnd;
    this.byTarget = byTarget;
  }

  get size(): number {
    return this.all.length;
  }

  /** Those that let this identity in by its name. */
  namedFor(principal: string): readonly number[] {
    return this.#named.get(principal) ?? [];
  }

  /** The identities that policies name there, to let them in or to keep them out. */
  namedAt(at: number): readonly string[] {
    return this.#namedAt[at] ?? [];
  }

  /** All that let this identity in, added to a set. */
  addFor(principal: string, into: Bits): void {
    const refused = this.#refused.get(principal) ?? [];
    const own = refused.length === 0 ? this.everybody : this.everybody.slice();
    for (const at of refused) clearBit(own, at);
    addBits(into, own);
    for (const at of this.namedFor(principal)) setBit(into, at);
  }

  /** Whether this entry lets the identity in; null: nobody's. */
  lets(at: number, principal: string | null): boolean {
    if (principal === null) return hasBit(this.anonymous, at);
    if (hasBit(this.everybody, at)) return this.#refused.get(principal)?.includes(at) !== true;
    return this.namedFor(principal).includes(at);
  }
}

function push<K>(index: Map<K, number[]>, key: K, value: number): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [value]);
  else list.push(value);
}

interface Found {
  readonly entry: EntryPoint;
  readonly callers: Omit<PortCallers, "port">;
  readonly tunnelled: boolean;
}

const OPEN: Omit<PortCallers, "port"> = { anonymous: true, everybody: true, named: new Set() };
const ANY_IDENTITY: Omit<PortCallers, "port"> = { anonymous: false, everybody: true, named: new Set() };

class Builder {
  readonly notAnalysed: { workload: string; why: string }[] = [];
  readonly #graph: GainGraph;
  readonly #mesh: Mesh;
  readonly #semantics: Semantics;
  readonly #known: KnownIdentities;
  readonly #classes = new Map<string, readonly PortCallers[] | AnalysisLimit>();
  readonly #places: ReadonlyMap<Workload, number>;

  constructor(graph: GainGraph, semantics: Semantics) {
    this.#graph = graph;
    this.#mesh = graph.mesh;
    this.#semantics = semantics;
    this.#known = new KnownIdentities(graph.mesh.workloads.map(principalOf));
    this.#places = new Map(graph.mesh.workloads.map((workload, at) => [workload, at]));
  }

  build(): readonly Found[] {
    return this.#mesh.workloads.flatMap((workload, at) => this.#of(workload, at));
  }

  #of(workload: Workload, at: number): readonly Found[] {
    switch (this.#graph.parts.get(workload)) {
      case "application":
        return this.#ofApplication(workload, at);
      case "waypoint":
        return [
          found(
            { target: at, port: HBONE_PORT, way: "hbone", end: at, endPort: HBONE_PORT },
            ANY_IDENTITY,
            true,
          ),
        ];
      case "gateway":
        return portsOf(this.#mesh, workload).map((port) => direct(at, port, OPEN, false));
      default:
        // What every proxy and pod speaks to would make everything reach everything.
        return [];
    }
  }

  #ofApplication(workload: Workload, at: number): readonly Found[] {
    const ports = portsOf(this.#mesh, workload);
    if (workload.dataplane === "none") return ports.map((port) => direct(at, port, OPEN, false));
    const { inbound } = compiledPolicies(this.#mesh, this.#semantics);
    const tunnelled = takesHbone(this.#mesh, workload);
    if (workload.dataplane === "ambient") {
      const callers = this.#callers(
        workload,
        "ambient",
        () => ambientServer(this.#mesh, workload, this.#semantics),
        ports,
      );
      return [
        ...callers.flatMap((own) => [
          found(
            { target: at, port: own.port, way: "hbone", end: at, endPort: HBONE_PORT },
            { ...own, anonymous: false },
            true,
          ),
          ...(own.anonymous
            ? [
                found(
                  { target: at, port: own.port, way: "clear", end: at, endPort: own.port },
                  { ...own, everybody: false, named: new Set() },
                  true,
                ),
              ]
            : []),
        ]),
        ...this.#byWaypoints(workload, at),
      ];
    }
    const own = this.#callers(workload, "sidecar", () => inbound(workload), ports);
    const entries = own.map((callers) => direct(at, callers.port, callers, tunnelled));
    if (!tunnelled || !this.#graph.hasAmbient) return entries;
    const through = isStrict(inbound(workload), ports)
      ? own
      : this.#callers(workload, "through HBONE", () => throughHbone(inbound(workload)), ports);
    const tunnels = through.map((callers) =>
      found(
        { target: at, port: callers.port, way: "hbone", end: at, endPort: HBONE_PORT },
        { ...callers, anonymous: false },
        true,
      ),
    );
    return [...entries, ...tunnels];
  }

  /** Through the waypoints of its services, where those may go on to it. */
  #byWaypoints(workload: Workload, at: number): readonly Found[] {
    return serviceTargets(this.#mesh, workload).flatMap(({ service, port, target }) => {
      const binding = waypointOfService(this.#mesh, service);
      const proxy = binding.kind === "bound" ? binding.waypoint.workload : undefined;
      const own = proxy === undefined ? undefined : this.#mesh.workloads.find(({ key }) => key === proxy.key);
      const end = own === undefined ? undefined : this.#places.get(own);
      if (proxy === undefined || end === undefined) return [];
      if (!this.#lets(workload, target, principalOf(proxy))) return [];
      const [callers] = this.#throughWaypoint(proxy, service, port.port);
      if (callers === undefined) return [];
      const entry = {
        target: at,
        port: target,
        way: "waypoint",
        end,
        endPort: HBONE_PORT,
        service: { host: service.hostname, port: port.port },
      } as const;
      return [found(entry, { ...callers, anonymous: false }, true)];
    });
  }

  #throughWaypoint(proxy: Workload, service: Service, port: number): readonly PortCallers[] {
    const { inbound } = compiledPolicies(this.#mesh, this.#semantics).waypoint(proxy).service(service);
    const { rootNamespace } = this.#mesh.config;
    const policies = [
      ...waypointPolicies(this.#mesh.authorizationPolicies, proxy, service, rootNamespace),
      ...waypointPolicies(this.#mesh.requestAuthentications, proxy, service, rootNamespace),
    ];
    return this.#ask(
      { mesh: this.#mesh, workload: proxy, server: inbound, ports: [port], policies, known: this.#known },
      `${proxy.key} for ${service.hostname}`,
    );
  }

  #lets(workload: Workload, port: number, principal: string): boolean {
    const ports = portsOf(this.#mesh, workload);
    const callers = this.#callers(
      workload,
      "ambient",
      () => ambientServer(this.#mesh, workload, this.#semantics),
      ports,
    );
    const own = callers.find((one) => one.port === port);
    return own !== undefined && own.named.has(principal) !== own.everybody;
  }

  #callers(
    workload: Workload,
    how: string,
    server: () => AnalysedServer,
    ports: readonly number[],
  ): readonly PortCallers[] {
    const { text, resources } = serverFacts(this.#mesh, workload);
    const key = `${how} ${ports.join()} ${text}`;
    let known = this.#classes.get(key);
    if (known === undefined) {
      known = this.#ask(
        { mesh: this.#mesh, workload, server: server(), ports, policies: resources, known: this.#known },
        workload.key,
      );
      this.#classes.set(key, known);
    }
    return known instanceof AnalysisLimit ? [] : known;
  }

  #ask(question: CallersQuestion, name: string): readonly PortCallers[] {
    try {
      return serverCallers(question);
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      this.notAnalysed.push({ workload: name, why: error.message });
      return question.ports.map((port) => ({ ...OPEN, port }));
    }
  }
}

/** Then a tunnel makes no difference to who is let in. */
function isStrict({ transport, tcp, http }: InboundPolicy, ports: readonly number[]): boolean {
  return (
    http.custom === null && tcp.custom === null && ports.every((port) => transport(port).mode === "STRICT")
  );
}

function found(entry: EntryPoint, callers: Omit<PortCallers, "port">, tunnelled: boolean): Found {
  return { entry, callers, tunnelled };
}

function direct(at: number, port: number, callers: Omit<PortCallers, "port">, tunnelled: boolean): Found {
  return found({ target: at, port, way: "direct", end: at, endPort: port }, callers, tunnelled);
}

/** TCP ports that the workload declares, or that Services lead to. */
export function portsOf(mesh: Mesh, workload: Workload): readonly number[] {
  const declared = workload.ports.filter(({ protocol }) => protocol === "TCP").map(({ port }) => port);
  const served = serviceTargets(mesh, workload).flatMap(({ target, port }) =>
    port.protocol === "udp" ? [] : [target],
  );
  return [...new Set([...declared, ...served])].sort((a, b) => a - b);
}
