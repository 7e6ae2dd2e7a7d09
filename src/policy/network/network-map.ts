/**
 * Who can connect to whom by network policies alone. Cost grows with what policies name and with the answer, not with the square of the pods.
 */
import { type AddressPartition, partitionAddresses } from "./address-partition.ts";
import type { AddressFamily, AddressRange } from "./address-range.ts";
import { ConnectionAlgebra, type ConnectionSet } from "./connection-set.ts";
import {
  type DirectionView,
  type DirectionViews,
  directionViews,
  type ViewOptions,
} from "./direction-views.ts";
import type { NetworkPod } from "./network-pod.ts";
import type { NetworkDirection, NetworkPolicies } from "./network-policies.ts";
import { SelectorIndex } from "./selector-index.ts";

/** One end may be outside: then the other is a pod. */
export interface NetworkEdge {
  /** Place in the list of pods, or a range of addresses. */
  readonly from: number | AddressRange;
  readonly to: number | AddressRange;
  readonly connections: ConnectionSet;
}

export interface PodEdge extends NetworkEdge {
  readonly from: number;
  readonly to: number;
}

export interface NetworkMapOptions extends ViewOptions {
  /** Whose addresses the outside is shown with. */
  readonly families: readonly AddressFamily[];
  /** That of another map, to compare the two: equal sets are then the same object. */
  readonly algebra?: ConnectionAlgebra;
  /** Policies of another map: the outside is cut where those cut it, too. */
  readonly alsoCutBy?: NetworkPolicies;
}

export class NetworkMap {
  readonly algebra: ConnectionAlgebra;
  readonly #ingress: DirectionViews;
  readonly #egress: DirectionViews;
  readonly #sources: readonly AddressPartition[];
  readonly #destinations: readonly AddressPartition[];
  readonly #count: number;
  /** Destinations that anybody may reach unless a rule says otherwise. */
  readonly #open: readonly number[];
  /** Other destinations, by the classes of those who may reach them. */
  readonly #byCaller: ReadonlyMap<number, readonly number[]>;
  readonly #byDestinationClass: ReadonlyMap<number, readonly number[]>;
  readonly #viewNumbers = new Map<DirectionView, number>();

  constructor(policies: NetworkPolicies, pods: readonly NetworkPod[], options: NetworkMapOptions) {
    this.algebra = options.algebra ?? new ConnectionAlgebra();
    const index = new SelectorIndex(pods);
    const cutting = options.alsoCutBy === undefined ? [policies] : [policies, options.alsoCutBy];
    const view = (direction: NetworkDirection): DirectionViews =>
      directionViews(this.algebra, policies, pods, index, direction, options);
    this.#count = pods.length;
    this.#ingress = view("ingress");
    this.#egress = view("egress");
    this.#sources = options.families.map((family) => partition(cutting, family, "ingress"));
    this.#destinations = options.families.map((family) => partition(cutting, family, "egress"));
    this.#open = this.#ingress.viewOf.flatMap(({ otherwise }, at) =>
      otherwise === this.algebra.none ? [] : [at],
    );
    this.#byCaller = this.#closedByCaller();
    this.#byDestinationClass = groupBy(this.#egress.classOf);
  }

  /** What policies let through from one pod to another, at both ends. */
  between(from: number, to: number): ConnectionSet {
    const out = withOther(this.#egress.viewOf[from], this.#egress.classOf[to]);
    if (out === undefined || out === this.algebra.none) return this.algebra.none;
    const into = withOther(this.#ingress.viewOf[to], this.#ingress.classOf[from]) ?? this.algebra.none;
    return this.algebra.intersect(out, into);
  }

  /** From outside to a pod, parts in their order. */
  *fromOutside(to: number): Generator<NetworkEdge> {
    for (const { parts, connections } of this.#outside(this.#ingress.viewOf[to], this.#sources))
      for (const from of parts) yield { from, to, connections };
  }

  /** From a pod to other pods, then to the outside. */
  *from(from: number): Generator<NetworkEdge> {
    yield* this.toPods(from);
    yield* this.toOutside(from);
  }

  /** From a pod to other pods, in their order. */
  *toPods(from: number): Generator<PodEdge> {
    for (const to of this.#candidates(from)) {
      if (to === from) continue;
      const connections = this.between(from, to);
      if (connections !== this.algebra.none) yield { from, to, connections };
    }
  }

  /** How many pods {@link toPods} looks at. */
  candidateCount(from: number): number {
    const view = this.#egress.viewOf[from];
    if (view === undefined) return 0;
    if (view.otherwise === this.algebra.none)
      return [...view.byClass.keys()].reduce(
        (sum, at) => sum + (this.#byDestinationClass.get(at)?.length ?? 0),
        0,
      );
    const own = this.#byCaller.get(this.#ingress.classOf[from] ?? -1) ?? [];
    return this.#open.length + own.length;
  }

  /** From a pod to outside, parts in their order. */
  *toOutside(from: number): Generator<NetworkEdge> {
    for (const { parts, connections } of this.#outside(this.#egress.viewOf[from], this.#destinations))
      for (const to of parts) yield { from, to, connections };
  }

  /** Two pods of one profile are treated alike by policies, at either end. */
  profileOf(at: number): string {
    const { viewOf: into, classOf: asSource } = this.#ingress;
    const { viewOf: out, classOf: asDestination } = this.#egress;
    return [this.#numberOf(into[at]), asSource[at], this.#numberOf(out[at]), asDestination[at]].join();
  }

  #numberOf(view: DirectionView | undefined): number {
    if (view === undefined) return -1;
    const known = this.#viewNumbers.get(view) ?? this.#viewNumbers.size;
    this.#viewNumbers.set(view, known);
    return known;
  }

  *edges(): Generator<NetworkEdge> {
    for (let to = 0; to < this.#count; to++) yield* this.fromOutside(to);
    for (let from = 0; from < this.#count; from++) yield* this.from(from);
  }

  /** Ascending; others cannot be reached. */
  #candidates(from: number): Iterable<number> {
    const view = this.#egress.viewOf[from];
    if (view === undefined) return [];
    if (view.otherwise === this.algebra.none) {
      const reached = [...view.byClass.keys()].flatMap((at) => this.#byDestinationClass.get(at) ?? []);
      return reached.sort((a, b) => a - b);
    }
    return merged(this.#open, this.#byCaller.get(this.#ingress.classOf[from] ?? -1) ?? []);
  }

  #closedByCaller(): Map<number, number[]> {
    const byCaller = new Map<number, number[]>();
    for (const [to, view] of this.#ingress.viewOf.entries()) {
      if (view.otherwise !== this.algebra.none) continue;
      for (const caller of view.byClass.keys()) {
        const list = byCaller.get(caller);
        if (list === undefined) byCaller.set(caller, [to]);
        else list.push(to);
      }
    }
    return byCaller;
  }

  *#outside(
    view: DirectionView | undefined,
    partitions: readonly AddressPartition[],
  ): Generator<{ readonly parts: readonly AddressRange[]; readonly connections: ConnectionSet }> {
    for (const own of partitions)
      for (const { first, last, connections } of view?.outside(own) ?? [])
        if (connections !== this.algebra.none) yield { parts: own.parts.slice(first, last + 1), connections };
  }
}

function withOther(view: DirectionView | undefined, other: number | undefined): ConnectionSet | undefined {
  return view?.byClass.get(other ?? -1) ?? view?.otherwise;
}

/** Of two ascending lists without a common entry. */
function* merged(a: readonly number[], b: readonly number[]): Generator<number> {
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const left = a[i] ?? Number.POSITIVE_INFINITY;
    const right = b[j] ?? Number.POSITIVE_INFINITY;
    if (left < right) i++;
    else j++;
    yield Math.min(left, right);
  }
}

function groupBy(classOf: readonly number[]): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const [at, own] of classOf.entries()) {
    const group = groups.get(own);
    if (group === undefined) groups.set(own, [at]);
    else group.push(at);
  }
  return groups;
}

function partition(
  cutting: readonly NetworkPolicies[],
  family: AddressFamily,
  direction: NetworkDirection,
): AddressPartition {
  const all = cutting.flatMap(({ admin, policies, baseline }) => [...admin, ...policies, ...baseline]);
  const ranges = all.flatMap((policy) => policy.ranges[direction]);
  return partitionAddresses(family, ranges);
}
