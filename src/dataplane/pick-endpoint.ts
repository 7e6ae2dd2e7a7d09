import { isIP, isIPv6 } from "node:net";
import { resolveTargetPort } from "../model/build-services.ts";
import type { Service, Workload } from "../model/mesh.ts";
import { socketPort } from "../model/placement.ts";
import type {
  ClusterPlan,
  DialedDestination,
  EndpointPlan,
  ForwardDecision,
  OutboundTarget,
} from "../policy/outbound/types.ts";
import { speaksHbone } from "../policy/path/tunnelled.ts";
import { ingressWay, type TlsToWaypoint } from "../policy/waypoint/ingress-waypoint.ts";
import { isOwnCluster } from "../policy/waypoint/waypoint-routes.ts";
import type { WaypointWay } from "../policy/waypoint/waypoint-way.ts";
import { asWaypoint } from "../policy/waypoint/waypoints.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { resourceName } from "../resources/resource.ts";
import { hboneAuthority } from "./hbone/hbone-authority.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import {
  HBONE_PORT,
  type UpstreamTarget,
  type UpstreamTls,
  type UpstreamTunnel,
  upstreamTarget,
} from "./upstream-target.ts";

/** Tries beyond the first, when connecting fails: Istio's default. */
const CONNECT_RETRIES = 2;

/** What the request or connection itself says, for clusters that go where it says. */
export interface RequestedDestination extends DialedDestination {
  /** Host header or server name, without port. */
  readonly name: string | undefined;
}

/** What of a decision, and of the target that was chosen of it, reaching an address takes. */
export type RoutedBy = Pick<ForwardDecision, "dialled" | "dynamicHost">;
export type ReachedBy = Pick<OutboundTarget, "cluster" | "sni" | "sans">;

export type WireProtocol = "http1" | "http2" | "tcp";

/** Where to, for the nth try from 0; undefined when there is nowhere (else) to try. */
export type NextTarget = (
  attempt: number,
) => UpstreamTarget | undefined | Promise<UpstreamTarget | undefined>;

const PASSTHROUGH = "PassthroughCluster";

function nowhere(): undefined {
  return undefined;
}

/** One of several targets, by weight. `roll`: 0 ≤ roll < 1. */
export function pickTarget(targets: readonly OutboundTarget[], roll: number): OutboundTarget | undefined {
  let total = 0;
  for (const target of targets) total += target.weight;
  if (targets.length === 1 || total === 0) return targets[0];
  let left = roll * total;
  for (const target of targets) {
    left -= target.weight;
    if (left < 0) return target;
  }
  return targets.at(-1);
}

/**
 * Addresses of one cluster, in turn. Made anew with each configuration; the place in the round is kept with it, so a
 * change starts the round at random rather than all proxies at the same endpoint.
 */
export class EndpointPicker {
  readonly #env: ProxyEnvironment;
  readonly #snapshot: Snapshot;
  readonly #isGateway: boolean;
  readonly #written = new Map<ClusterPlan, readonly Placed[]>();
  #turn = Math.floor(Math.random() * 1024);

  constructor(env: ProxyEnvironment, snapshot: Snapshot) {
    this.#env = env;
    this.#snapshot = snapshot;
    const { mesh, workload } = snapshot;
    this.#isGateway = workload.role === "gateway" && asWaypoint(mesh, workload) === undefined;
  }

  /** The target of each try: undefined when there is none, or no more. */
  next(
    decision: RoutedBy,
    target: ReachedBy,
    asked: RequestedDestination,
    protocol: WireProtocol,
  ): NextTarget {
    const { cluster } = target;
    if (cluster === undefined) return nowhere;
    const way = this.#isGateway ? ingressWay(this.#snapshot.mesh, cluster) : undefined;
    if (way !== undefined) return this.#byWaypoint(way, cluster, protocol);
    const placed = this.#placed(cluster);
    if (placed.length > 0)
      return this.#inTurn(placed, ({ host, port, plan, pod }) =>
        pod === undefined
          ? this.#reach(host, port, cluster, target, plan.tls, protocol)
          : this.#tunnelled(host, plan, pod, cluster, target, protocol),
      );
    const tls = cluster.tls === "mixed" ? "plaintext" : cluster.tls;
    const own = cluster.resolution === "original-destination" ? this.#places(decision.dialled, asked) : [];
    if (own.length > 0)
      return this.#inTurn(own, ({ host, port }) =>
        this.#reach(host, cluster.dialPort ?? port, cluster, target, tls, protocol),
      );
    return (attempt) => this.#byName(attempt, decision, cluster, target, asked, protocol);
  }

  /** The destination that the client dialled, in clear: passthrough. */
  direct(decision: ForwardDecision, asked: RequestedDestination, protocol: WireProtocol): NextTarget {
    const own = this.#places(decision.dialled, asked);
    if (own.length > 0)
      return this.#inTurn(own, ({ host, port }) =>
        this.#target(host, port, undefined, protocol, PASSTHROUGH),
      );
    return async (attempt) => {
      if (attempt > 0) return undefined;
      const [host] = await this.#snapshot.resolver
        .resolve(asked.ip ?? asked.host ?? "")
        .catch((error: unknown) => {
          throw unservedName(decision.dialled, asked, error);
        });
      return this.#target(
        host as string,
        socketPort(this.#snapshot.placement, asked.port),
        undefined,
        protocol,
        PASSTHROUGH,
      );
    };
  }

  /** What the system's own name look-up and kube-proxy would make of a service of the mesh, as nobody routes it here. */
  #places(service: Service | undefined, asked: RequestedDestination): Address[] {
    const port = service?.ports.find((candidate) => candidate.port === asked.port);
    if (service === undefined || port === undefined) return [];
    const { placement } = this.#snapshot;
    return service.endpoints.flatMap(({ workload }) => {
      const number = resolveTargetPort(port, workload);
      if (workload === undefined || number === undefined) return [];
      const pods = placement.pods.filter((pod) => pod.workload === workload.key);
      return pods.map(({ address }) => ({ host: address, port: socketPort(placement, number) }));
    });
  }

  #inTurn<T>(list: readonly T[], reach: (place: T) => UpstreamTarget | Promise<UpstreamTarget>): NextTarget {
    this.#turn += 1;
    const first = this.#turn;
    return (attempt) =>
      attempt > CONNECT_RETRIES ? undefined : reach(list[(first + attempt) % list.length] as T);
  }

  #placed(cluster: ClusterPlan): readonly Placed[] {
    let placed = this.#written.get(cluster);
    if (placed === undefined) {
      placed =
        cluster.resolution === "dynamic-dns" || cluster.resolution === "original-destination"
          ? []
          : cluster.endpoints.flatMap((plan) => this.#place(plan, cluster));
      this.#written.set(cluster, placed);
    }
    return placed;
  }

  /** A workload's endpoint stands for each of its pods. */
  #place(plan: EndpointPlan, cluster: ClusterPlan): Placed[] {
    const { placement, mesh } = this.#snapshot;
    const port = socketPort(placement, plan.port);
    const { workload } = plan.endpoint;
    const pod = workload !== undefined && speaksHbone(mesh, workload, cluster) ? workload : undefined;
    const hosts =
      workload === undefined
        ? [plan.address]
        : placement.pods.filter((pod) => pod.workload === workload.key).map((pod) => pod.address);
    return hosts
      .filter((host) => host !== undefined)
      .flatMap((host) => Array.from({ length: repeats(plan.weight) }, () => ({ host, port, plan, pod })));
  }

  async #byName(
    attempt: number,
    decision: RoutedBy,
    cluster: ClusterPlan,
    target: ReachedBy,
    asked: RequestedDestination,
    protocol: WireProtocol,
  ): Promise<UpstreamTarget | undefined> {
    const name = decision.dynamicHost ?? nameFor(cluster, asked);
    if (attempt > CONNECT_RETRIES || name === undefined) return undefined;
    const addresses = await this.#snapshot.resolver.resolve(name);
    const host = addresses[attempt % addresses.length] as string;
    const port =
      cluster.resolution === "original-destination" ? (cluster.dialPort ?? asked.port) : cluster.port;
    const mode = cluster.tls === "mixed" ? "plaintext" : cluster.tls;
    const tls = this.#tls(cluster, target, mode, protocol);
    if (tls instanceof BulwarkError) throw tls;
    return this.#target(host, socketPort(this.#snapshot.placement, port), tls, protocol, cluster.name);
  }

  #reach(
    host: string,
    port: number,
    cluster: ClusterPlan,
    target: ReachedBy,
    mode: EndpointPlan["tls"],
    protocol: WireProtocol,
  ): UpstreamTarget | Promise<UpstreamTarget> {
    const tls = this.#tls(cluster, target, mode, protocol);
    if (tls instanceof BulwarkError) return Promise.reject(tls);
    if (isIP(host) !== 0) return this.#target(host, port, tls, protocol, cluster.name);
    return this.#snapshot.resolver
      .resolve(host)
      .then(([address]) => this.#target(address as string, port, tls, protocol, cluster.name));
  }

  /** Through HBONE, to that very pod. INVARIANT: a pod's identity is its own alone, whatever a DestinationRule names. */
  async #tunnelled(
    written: string,
    plan: EndpointPlan,
    { spiffeId }: Workload,
    cluster: ClusterPlan,
    target: ReachedBy,
    protocol: WireProtocol,
  ): Promise<UpstreamTarget> {
    const [host = written] = isIP(written) === 0 ? await this.#snapshot.resolver.resolve(written) : [written];
    // TLS that a rule writes out belongs inside of a waypoint's tunnel; for everybody else HBONE stands for it.
    const inside = isOwnCluster(cluster) ? this.#tls(cluster, target, plan.tls, protocol) : undefined;
    if (inside instanceof BulwarkError) throw inside;
    const authority = hboneAuthority(host, plan.port);
    const tunnel = { host, port: HBONE_PORT, authority, sans: [spiffeId] };
    return this.#target(host, plan.port, inside, protocol, cluster.name, tunnel);
  }

  /** Through HBONE, to a pod of the service's waypoint, which is asked for the service itself. */
  #byWaypoint(
    way: WaypointWay | TlsToWaypoint,
    { name, service, port }: ClusterPlan,
    protocol: WireProtocol,
  ): NextTarget {
    if (way.kind !== "waypoint")
      return () => Promise.reject(new BulwarkError("BW_WAYPOINT_UNKNOWN", `unknown: ${way.why}`));
    const { key, spiffeId } = way.waypoint;
    const { address } = way.addressed;
    const pods = this.#snapshot.placement.pods.filter(({ workload }) => workload === key);
    if (pods.length === 0 || isIP(address) === 0) {
      const lacks = pods.length === 0 ? `no pod of its waypoint ${key} runs` : "it has no address";
      return () => Promise.reject(new BulwarkError("BW_UPSTREAM_NONE", `${service.hostname}: ${lacks}`));
    }
    const authority = hboneAuthority(address, port);
    return this.#inTurn(pods, ({ address: host }) => {
      const tunnel = { host, port: HBONE_PORT, authority, sans: [spiffeId] };
      return this.#target(host, HBONE_PORT, undefined, protocol, name, tunnel);
    });
  }

  #tls(
    cluster: ClusterPlan,
    target: ReachedBy,
    mode: EndpointPlan["tls"],
    alpn: WireProtocol,
  ): UpstreamTls | BulwarkError | undefined {
    const settings = cluster.tlsSettings;
    if (mode === "plaintext" || settings === undefined) return undefined;
    const sni = target.sni ?? settings.sni;
    const sans = target.sans ?? settings.sans;
    if (mode === "mtls") return { kind: "mesh", sni, sans, alpn };
    const external = this.#env.external.contextFor(settings);
    if (external instanceof BulwarkError) return external;
    return { kind: "external", sni, sans, alpn, context: external.context, contextId: external.id };
  }

  #target(
    host: string,
    port: number,
    tls: UpstreamTls | undefined,
    protocol: WireProtocol,
    cluster: string,
    tunnel?: UpstreamTunnel,
  ): UpstreamTarget {
    const { address, address6 } = this.#env.pod;
    const localAddress = isIPv6(host) ? address6 : address;
    const target = { host, port, tls, protocol, cluster, localAddress };
    return upstreamTarget(tunnel === undefined ? target : { ...target, tunnel });
  }
}

/** A name that DNS does not have may still be a service's: then what is asked for is not served there. */
function unservedName(service: Service | undefined, asked: RequestedDestination, cause: unknown): unknown {
  if (service === undefined) return cause;
  const { ports, resource } = service;
  const lacks = ports.some(({ port }) => port === asked.port)
    ? "nothing that serves"
    : `no port ${asked.port} (it has ${ports.map(({ port }) => port).join(", ")}); nothing else serves`;
  const message = `${resourceName(resource)} has ${lacks} \`${asked.host}:${asked.port}\``;
  return new BulwarkError("BW_RESOLVE_FAILED", message, { cause });
}

interface Address {
  readonly host: string;
  /** Of the socket. */
  readonly port: number;
}

interface Placed extends Address {
  readonly plan: EndpointPlan;
  /** Set where it is reached through HBONE. */
  readonly pod: Workload | undefined;
}

/** Small whole weights by repetition; 0 takes no traffic. */
function repeats(weight: number): number {
  return Math.min(Math.max(Math.round(weight), 0), 100);
}

/** Whose address is asked for: the request's own name where the cluster is a pattern, else the cluster's host. */
function nameFor(cluster: ClusterPlan, asked: RequestedDestination): string | undefined {
  if (cluster.resolution === "original-destination") return asked.ip ?? asked.host ?? asked.name;
  if (cluster.resolution === "dynamic-dns" || cluster.host.startsWith("*")) return asked.name;
  return cluster.host;
}
