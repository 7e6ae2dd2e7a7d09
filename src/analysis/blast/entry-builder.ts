/** Finds the entry points of a mesh: of each workload its ports, by each way that leads to them, with whom policies let in there. */
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
import { principalOf } from "./component.ts";
import type { GainGraph } from "./gains.ts";
import { gatewayCallers } from "./gateway-callers.ts";
import { accountsOf } from "./pod-facts.ts";
import {
  type CallersQuestion,
  KnownIdentities,
  OPEN_TO_ALL,
  type PortCallers,
  serverCallers,
} from "./server-callers.ts";

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

export interface Found {
  readonly entry: EntryPoint;
  readonly callers: Omit<PortCallers, "port">;
  readonly tunnelled: boolean;
  /** Whose identities are taken there at all. */
  readonly trustDomains: "any" | readonly string[];
}

type FoundCallers = Omit<Found, "trustDomains">;

const ANY_IDENTITY: Omit<PortCallers, "port"> = { anonymous: false, everybody: true, named: new Set() };

export class EntryBuilder {
  readonly notAnalysed: { workload: string; why: string }[] = [];
  readonly #graph: GainGraph;
  readonly #mesh: Mesh;
  readonly #semantics: Semantics;
  readonly #known: KnownIdentities;
  readonly #trustDomains: readonly string[];
  readonly #classes = new Map<string, readonly PortCallers[] | AnalysisLimit>();
  readonly #places: ReadonlyMap<Workload, number>;

  /** @param besides identities that no file tells of, and that are asked about. */
  constructor(graph: GainGraph, semantics: Semantics, besides: readonly string[]) {
    const { config, workloads } = graph.mesh;
    this.#graph = graph;
    this.#mesh = graph.mesh;
    this.#semantics = semantics;
    this.#known = new KnownIdentities([...identitiesOf(graph.mesh), ...besides]);
    const federated = semantics === "strict" ? config.federatedTrustDomains : [];
    this.#trustDomains = [config.trustDomain, ...config.trustDomainAliases, ...federated];
    this.#places = new Map(workloads.map((workload, at) => [workload, at]));
  }

  build(): readonly Found[] {
    return this.#mesh.workloads.flatMap((workload, at) =>
      this.#of(workload, at).map((own) => ({ ...own, trustDomains: this.#takenAt(workload, own.entry) })),
    );
  }

  /** Ztunnels take no alias; istiod does not have gateways look at names: whom the mesh's roots have signed is taken there. */
  #takenAt(workload: Workload, { way }: EntryPoint): Found["trustDomains"] {
    const isGateway = this.#graph.parts.get(workload) === "gateway";
    if (workload.dataplane === "none" || (isGateway && this.#semantics === "istio")) return "any";
    const isZtunnel = workload.dataplane === "ambient" && way !== "waypoint";
    return isZtunnel ? [this.#mesh.config.trustDomain] : this.#trustDomains;
  }

  #of(workload: Workload, at: number): readonly FoundCallers[] {
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
        return this.#ofGateway(workload, at);
      default:
        // What every proxy and pod speaks to would make everything reach everything.
        return [];
    }
  }

  #ofGateway(gateway: Workload, at: number): readonly FoundCallers[] {
    const written = portsOf(this.#mesh, gateway);
    const question = { mesh: this.#mesh, gateway, semantics: this.#semantics, known: this.#known };
    const callers = this.#orOpen(
      gateway.key,
      () => gatewayCallers(question, written),
      () =>
        compiledPolicies(this.#mesh, this.#semantics)
          .gateway(gateway)
          .listeners.map(({ port }) => port),
    );
    return callers.map((own) => direct(at, own.port, own, false));
  }

  #ofApplication(workload: Workload, at: number): readonly FoundCallers[] {
    const ports = portsOf(this.#mesh, workload);
    if (workload.dataplane === "none") return ports.map((port) => direct(at, port, OPEN_TO_ALL, false));
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
  #byWaypoints(workload: Workload, at: number): readonly FoundCallers[] {
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
    return this.#orOpen(
      name,
      () => serverCallers(question),
      () => question.ports,
    );
  }

  /** What is not analysed counts as open, and is listed. */
  #orOpen(
    name: string,
    ask: () => readonly PortCallers[],
    ports: () => readonly number[],
  ): readonly PortCallers[] {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      this.notAnalysed.push({ workload: name, why: error.message });
      return ports().map((port) => ({ ...OPEN_TO_ALL, port }));
    }
  }
}

/** Of workloads and accounts, under each name that the mesh's own trust domain has. */
function identitiesOf(mesh: Mesh): readonly string[] {
  const { trustDomain, trustDomainAliases } = mesh.config;
  const own = mesh.workloads.map(principalOf);
  const accounts = [...accountsOf(mesh).values()].map(
    ({ namespace, name }) => `${trustDomain}/ns/${namespace}/sa/${name}`,
  );
  const all = [...new Set([...own, ...accounts])];
  const aliases = trustDomainAliases.flatMap((alias) =>
    all.map((principal) => `${alias}${principal.slice(principal.indexOf("/"))}`),
  );
  return [...all, ...aliases];
}

/** Then a tunnel makes no difference to who is let in. */
function isStrict({ transport, tcp, http }: InboundPolicy, ports: readonly number[]): boolean {
  return (
    http.custom === null && tcp.custom === null && ports.every((port) => transport(port).mode === "STRICT")
  );
}

function found(entry: EntryPoint, callers: Omit<PortCallers, "port">, tunnelled: boolean): FoundCallers {
  return { entry, callers, tunnelled };
}

function direct(
  at: number,
  port: number,
  callers: Omit<PortCallers, "port">,
  tunnelled: boolean,
): FoundCallers {
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
