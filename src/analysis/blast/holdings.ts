/** All that a compromise yields without anybody's leave: the closure of {@link GainGraph}, and what it means for what can be sent. */
import { API_SERVER, CA, EVERY_NODE, type HoldingId, kindOf, principalOf, restOf } from "./component.ts";
import type { Gain, GainGraph } from "./gains.ts";
import { jointGains } from "./joint-gains.ts";

/** How a holding came about: from which other, and why. */
export interface Yield {
  readonly id: HoldingId;
  /** Absent of what was compromised itself. */
  readonly from?: HoldingId;
  readonly gain?: Gain;
}

/** Places in the mesh's list of workloads. */
export interface Holdings {
  /** Everything, each once, in the order of its distance. */
  readonly yields: readonly Yield[];
  /** The cluster, and with it the mesh. */
  readonly isAll: boolean;
  /** Any identity may be signed. */
  readonly isCa: boolean;
  /** Workloads in which code of the attacker's runs. */
  readonly code: readonly number[];
  /** Identities whose keys are had, without `spiffe://`. */
  readonly keys: readonly string[];
  /** Pods from whose networks it can send, past every proxy. */
  readonly free: readonly number[];
  /** Pods from which all that it sends goes through a ztunnel. */
  readonly captured: readonly number[];
  /** Nobody knows from where: network policies count as open. */
  readonly isAnywhere: boolean;
  /** Namespaces whose mesh policies, or network policies, it may take away; `*`: all. */
  readonly loosened: readonly string[];
  readonly opened: readonly string[];
  /** Namespaces into whose pods it may connect from inside. */
  readonly inside: readonly string[];
  /** Namespaces to whose pods it may have the API server connect, as nobody and past network policies; `*`: all. */
  readonly proxied: readonly string[];
}

export class HoldingsIndex {
  readonly graph: GainGraph;
  readonly #places: ReadonlyMap<string, number>;
  readonly #known = new Map<HoldingId, Holdings>();

  constructor(graph: GainGraph) {
    this.graph = graph;
    this.#places = new Map(graph.mesh.workloads.map(({ key }, at) => [key, at]));
  }

  of(start: HoldingId): Holdings {
    let holdings = this.#known.get(start);
    if (holdings === undefined) {
      holdings = this.#collect(start);
      this.#known.set(start, holdings);
    }
    return holdings;
  }

  /** Who has the cluster needs nothing else: the rest of the closure is left out then. */
  #collect(start: HoldingId): Holdings {
    const yields = new Map<HoldingId, Yield>([[start, { id: start }]]);
    for (let isMore = true; isMore; ) {
      // A map that grows while it is walked is walked to its end.
      for (const [id] of yields) {
        for (const gain of this.graph.gainsOf(id))
          if (!yields.has(gain.to)) yields.set(gain.to, { id: gain.to, from: id, gain });
      }
      const joint = jointGains(this.graph, yields);
      for (const { from, ...gain } of joint) yields.set(gain.to, { id: gain.to, from, gain });
      isMore = joint.length > 0;
    }
    return this.#read(start, [...yields.values()]);
  }

  #read(start: HoldingId, yields: readonly Yield[]): Holdings {
    const parts: Parts = new Parts();
    for (const { id } of yields) this.#readOne(id, parts);
    const ids = new Set(yields.map(({ id }) => id));
    const { code, keys, free, captured, loosened, opened, inside, proxied } = parts;
    return {
      yields,
      isAll: ids.has(API_SERVER),
      isCa: ids.has(CA) || ids.has(API_SERVER),
      code: [...code],
      keys,
      free: [...free],
      captured: [...captured].filter((at) => !free.has(at)),
      isAnywhere: start.startsWith("key/") || start.startsWith("token/"),
      loosened,
      opened,
      inside,
      proxied,
    };
  }

  #readOne(id: HoldingId, parts: Parts): void {
    const rest = restOf(id);
    const at = this.#places.get(rest);
    const workload = this.graph.byKey.get(rest);
    switch (kindOf(id)) {
      case "workload":
      case "sidecar":
      case "waypoint":
      case "gateway":
        if (at === undefined || workload === undefined) return;
        parts.code.add(at);
        if (workload.dataplane === "ambient" && kindOf(id) === "workload") parts.captured.add(at);
        else parts.free.add(at);
        return;
      case "key":
        parts.keys.push(rest);
        return;
      case "ztunnel":
      case "cni":
        for (const own of this.graph.placement.on(rest))
          if (own.dataplane === "ambient" || kindOf(id) === "cni") this.#addPosition(own.key, parts);
        return;
      case "pods":
        // Its labels are whatever policies want to see.
        for (const own of this.graph.byNamespace.get(rest) ?? []) this.#addPosition(own.key, parts);
        return;
      case "policies":
        parts.loosened.push(rest);
        return;
      case "network-policies":
        parts.opened.push(rest);
        return;
      case "inside":
        parts.inside.push(rest);
        return;
      case "proxied":
        parts.proxied.push(rest);
        return;
      default:
        return;
    }
  }

  #addPosition(key: string, parts: Parts): void {
    const at = this.#places.get(key);
    if (at !== undefined) parts.free.add(at);
  }
}

class Parts {
  readonly code = new Set<number>();
  readonly keys: string[] = [];
  readonly free = new Set<number>();
  readonly captured = new Set<number>();
  readonly loosened: string[] = [];
  readonly opened: string[] = [];
  readonly inside: string[] = [];
  readonly proxied: string[] = [];
}

/** Workloads by the identity that they have. */
export function workloadsByPrincipal({ mesh }: GainGraph): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const [at, workload] of mesh.workloads.entries()) {
    const principal = principalOf(workload);
    const list = found.get(principal);
    if (list === undefined) found.set(principal, [at]);
    else list.push(at);
  }
  return found;
}

/** Every component that files tell of, in the order of a report. */
export function componentsOfMesh(graph: GainGraph): readonly HoldingId[] {
  const found = new Set<HoldingId>();
  for (const workload of graph.mesh.workloads) {
    for (const id of graph.componentsOf(workload)) found.add(id);
    const isApplication = graph.parts.get(workload) === "application";
    if (isApplication && workload.dataplane === "sidecar" && workload.kind !== "WorkloadEntry")
      found.add(`sidecar/${workload.key}`);
  }
  for (const node of graph.placement.names) {
    found.add(`node/${node}`);
    if (graph.hasAmbient) {
      found.add(`ztunnel/${node}`);
      found.add(`cni/${node}`);
    }
  }
  found.delete(EVERY_NODE);
  found.add("istiod");
  found.add(API_SERVER);
  return [...found];
}
