import { isIP } from "node:net";
import { socketPort } from "../model/placement.ts";
import type {
  ClusterPlan,
  DialedDestination,
  EndpointPlan,
  OutboundTarget,
} from "../policy/outbound/types.ts";
import type { ProxyEnvironment, Snapshot } from "./proxy-environment.ts";
import { type UpstreamTarget, type UpstreamTls, upstreamTarget } from "./upstream-target.ts";

/** Tries beyond the first, when connecting fails: Istio's default. */
const CONNECT_RETRIES = 2;

/** What the request or connection itself says, for clusters that go where it says. */
export interface RequestedDestination extends DialedDestination {
  /** Host header or server name, without port. */
  readonly name: string | undefined;
}

export type WireProtocol = "http1" | "http2" | "tcp";

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
  readonly #written = new Map<ClusterPlan, readonly Placed[]>();
  #turn = Math.floor(Math.random() * 1024);

  constructor(env: ProxyEnvironment, snapshot: Snapshot) {
    this.#env = env;
    this.#snapshot = snapshot;
  }

  /** The target of each try: undefined when there is none, or no more. */
  next(
    target: OutboundTarget,
    asked: RequestedDestination,
    protocol: WireProtocol,
  ): (attempt: number) => UpstreamTarget | undefined | Promise<UpstreamTarget | undefined> {
    const { cluster } = target;
    if (cluster === undefined) return () => undefined;
    const placed = this.#placed(cluster);
    if (placed.length === 0) return (attempt) => this.#byName(attempt, cluster, target, asked, protocol);
    this.#turn += 1;
    const first = this.#turn;
    return (attempt) => {
      if (attempt > CONNECT_RETRIES) return undefined;
      const endpoint = placed[(first + attempt) % placed.length] as Placed;
      return this.#reach(endpoint, cluster, target, protocol);
    };
  }

  /** The destination that the client dialled, in clear: passthrough. */
  async direct(asked: RequestedDestination, protocol: WireProtocol): Promise<UpstreamTarget> {
    const [host] = await this.#snapshot.resolver.resolve(asked.ip ?? asked.host ?? "");
    return this.#target(
      host as string,
      socketPort(this.#snapshot.placement, asked.port),
      undefined,
      protocol,
      "PassthroughCluster",
    );
  }

  #placed(cluster: ClusterPlan): readonly Placed[] {
    let placed = this.#written.get(cluster);
    if (placed === undefined) {
      placed =
        cluster.resolution === "dynamic-dns" || cluster.resolution === "original-destination"
          ? []
          : cluster.endpoints.flatMap((plan) => this.#place(plan));
      this.#written.set(cluster, placed);
    }
    return placed;
  }

  /** A workload's endpoint stands for each of its pods. */
  #place(plan: EndpointPlan): Placed[] {
    const { placement } = this.#snapshot;
    const port = socketPort(placement, plan.port);
    const { workload } = plan.endpoint;
    const hosts =
      workload === undefined
        ? [plan.address]
        : placement.pods.filter((pod) => pod.workload === workload.key).map((pod) => pod.address);
    return hosts
      .filter((host) => host !== undefined)
      .flatMap((host) => Array.from({ length: repeats(plan.weight) }, () => ({ host, port, plan })));
  }

  async #byName(
    attempt: number,
    cluster: ClusterPlan,
    target: OutboundTarget,
    asked: RequestedDestination,
    protocol: WireProtocol,
  ): Promise<UpstreamTarget | undefined> {
    if (attempt > CONNECT_RETRIES) return undefined;
    const name = nameFor(cluster, asked);
    if (name === undefined) return undefined;
    const addresses = await this.#snapshot.resolver.resolve(name);
    const host = addresses[attempt % addresses.length] as string;
    const port = socketPort(
      this.#snapshot.placement,
      cluster.resolution === "original-destination" ? asked.port : cluster.port,
    );
    return this.#target(
      host,
      port,
      this.#tls(cluster, target, cluster.tls === "mixed" ? "plaintext" : cluster.tls, protocol),
      protocol,
      cluster.name,
    );
  }

  #reach(
    placed: Placed,
    cluster: ClusterPlan,
    target: OutboundTarget,
    protocol: WireProtocol,
  ): UpstreamTarget | Promise<UpstreamTarget | undefined> {
    const tls = this.#tls(cluster, target, placed.plan.tls, protocol);
    if (isIP(placed.host) !== 0) return this.#target(placed.host, placed.port, tls, protocol, cluster.name);
    return this.#snapshot.resolver
      .resolve(placed.host)
      .then(([host]) => this.#target(host as string, placed.port, tls, protocol, cluster.name));
  }

  #tls(
    cluster: ClusterPlan,
    target: OutboundTarget,
    mode: EndpointPlan["tls"],
    alpn: WireProtocol,
  ): UpstreamTls | undefined {
    const settings = cluster.tlsSettings;
    if (mode === "plaintext" || settings === undefined) return undefined;
    const sni = target.sni ?? settings.sni;
    const sans = target.sans ?? settings.sans;
    if (mode === "mtls") return { kind: "mesh", sni, sans, alpn };
    return { kind: "external", sni, sans, alpn, context: this.#env.externalContext };
  }

  #target(
    host: string,
    port: number,
    tls: UpstreamTls | undefined,
    protocol: WireProtocol,
    cluster: string,
  ): UpstreamTarget {
    return upstreamTarget({ host, port, tls, protocol, cluster, localAddress: this.#env.pod.address });
  }
}

interface Placed {
  readonly host: string;
  readonly port: number;
  readonly plan: EndpointPlan;
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
