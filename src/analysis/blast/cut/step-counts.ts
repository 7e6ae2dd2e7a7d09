/**
 * How far a compromise gets once changes have taken edges away: asked of thousands of sets of changes, so the graph stands in numbers here.
 * An estimate: network policies count as they do in the graph (step-graph.ts).
 */
import { hasBit } from "../bits.ts";
import { type HoldingId, principalOf } from "../component.ts";
import type { BlastModel, RadiusCounts } from "../radius.ts";
import type { Change } from "./change.ts";
import type { StepEdge, StepGraph } from "./step-graph.ts";

const NONE = -1;
const NEVER = 0x7fffffff;

export class StepCounts {
  readonly #total: number;
  readonly #nodes: ReadonlyMap<HoldingId, number>;
  readonly #start: number;
  /** Node n's edges stand from `first[n]` to `first[n + 1]`. */
  readonly #first: Int32Array;
  readonly #from: Int32Array;
  readonly #to: Int32Array;
  readonly #hop: Uint8Array;
  readonly #change: Int32Array;
  readonly #changes: ReadonlyMap<string, number>;
  readonly #removed: Uint8Array;
  readonly #hops: Int32Array;
  /** The edge by which each node was come to; none at the start. */
  readonly #by: Int32Array;
  /** As they were walked: each after the one that it was come to from. */
  #order: number[] = [];
  /** Of each workload that counts, the nodes that are it; those that are not in the graph are left out. */
  readonly #workloads: readonly (readonly number[])[];
  /** Whoever controls one of them controls all. */
  readonly #all: readonly number[];

  constructor(graph: StepGraph, model: BlastModel) {
    const nodes = numbered([graph.start, ...graph.edges.flatMap(({ from, to }) => [from, to])]);
    this.#nodes = nodes;
    this.#total = model.total;
    this.#start = nodes.get(graph.start) ?? NONE;
    this.#changes = numbered([...graph.changes.keys()]);
    this.#removed = new Uint8Array(this.#changes.size);
    this.#hops = new Int32Array(nodes.size);
    this.#by = new Int32Array(nodes.size);
    const edges = byNode(graph.edges, nodes);
    this.#first = edges.first;
    const { sorted } = edges;
    this.#from = Int32Array.from(sorted, ({ from }) => nodes.get(from) ?? NONE);
    this.#to = Int32Array.from(sorted, ({ to }) => nodes.get(to) ?? NONE);
    this.#hop = Uint8Array.from(sorted, ({ hop }) => hop);
    this.#change = Int32Array.from(sorted, ({ change }) => this.#changes.get(change?.id ?? "") ?? NONE);
    this.#workloads = this.#nodesOfWorkloads(model);
    this.#all = this.#known(["apiserver", "ca"]);
  }

  /** Workloads that are controlled, reached, or follow, without the edges of these changes. */
  without(changes: readonly Change[]): RadiusCounts {
    this.#removed.fill(0);
    for (const { id } of changes) this.#removed[this.#changes.get(id) ?? NONE] = 1;
    this.#walk();
    return this.#counted();
  }

  /**
   * For each change more than it can take from the score, or as much: without its edges only what was come to by way of them can be lost.
   * @param weights what a workload counts; the loss is in their unit, summed over workloads.
   */
  mostLost(weights: Readonly<Record<keyof RadiusCounts, number>>): (changes: readonly Change[]) => number {
    this.without([]);
    const behind = this.#worths(weights);
    const lost = new Float64Array(this.#changes.size);
    for (const node of this.#order.toReversed()) {
      const edge = this.#by[node] ?? NONE;
      if (edge === NONE) continue;
      const from = this.#from[edge] ?? 0;
      behind[from] = (behind[from] ?? 0) + (behind[node] ?? 0);
      const change = this.#change[edge] ?? NONE;
      if (change !== NONE) lost[change] = (lost[change] ?? 0) + (behind[node] ?? 0);
    }
    return (changes) => changes.reduce((sum, { id }) => sum + (lost[this.#changes.get(id) ?? NONE] ?? 0), 0);
  }

  /** What each node counts by itself: a workload stands at the first of its nodes that is nearest. */
  #worths(weights: Readonly<Record<keyof RadiusCounts, number>>): Float64Array {
    const worths = new Float64Array(this.#nodes.size);
    const all = this.#all.find((node) => this.#hops[node] === 0);
    if (all !== undefined) {
      worths[all] = this.#total * weights.controlled;
      return worths;
    }
    for (const nodes of this.#workloads) {
      let nearest: number | undefined;
      for (const node of nodes)
        if (nearest === undefined || (this.#hops[node] ?? NEVER) < (this.#hops[nearest] ?? NEVER))
          nearest = node;
      const hop = nearest === undefined ? NEVER : (this.#hops[nearest] ?? NEVER);
      if (nearest === undefined || hop === NEVER) continue;
      const own = hop === 0 ? weights.controlled : hop === 1 ? weights.reached : weights.further;
      worths[nearest] = (worths[nearest] ?? 0) + own;
    }
    return worths;
  }

  /** Layer by layer, by the number of hops. */
  #walk(): void {
    const hops = this.#hops.fill(NEVER);
    hops[this.#start] = 0;
    this.#by[this.#start] = NONE;
    this.#order = [];
    let layer = [this.#start];
    for (let hop = 0; layer.length > 0; hop++) {
      const next: number[] = [];
      // Grows while it is walked: what costs no hop is of the same layer.
      for (const node of layer) {
        this.#order.push(node);
        const end = this.#first[node + 1] ?? 0;
        for (let edge = this.#first[node] ?? 0; edge < end; edge++) {
          const change = this.#change[edge] ?? NONE;
          if (change !== NONE && this.#removed[change] === 1) continue;
          const to = this.#to[edge] ?? NONE;
          const cost = this.#hop[edge] ?? 0;
          if ((hops[to] ?? 0) <= hop + cost) continue;
          hops[to] = hop + cost;
          this.#by[to] = edge;
          (cost === 0 ? layer : next).push(to);
        }
      }
      layer = next.filter((node) => hops[node] === hop + 1);
    }
  }

  #counted(): RadiusCounts {
    const counts = { controlled: 0, reached: 0, further: 0 };
    if (this.#all.some((node) => this.#hops[node] === 0)) return { ...counts, controlled: this.#total };
    for (const nodes of this.#workloads) {
      let hop = NEVER;
      for (const node of nodes) hop = Math.min(hop, this.#hops[node] ?? NEVER);
      if (hop === 0) counts.controlled++;
      else if (hop === 1) counts.reached++;
      else if (hop < NEVER) counts.further++;
    }
    return counts;
  }

  #nodesOfWorkloads({ mesh, counted, graph }: BlastModel): readonly (readonly number[])[] {
    return mesh.workloads.flatMap((workload, at) => {
      if (!hasBit(counted, at)) return [];
      const key = [`sidecar/${workload.key}`, `key/${principalOf(workload)}`];
      return [this.#known([...graph.componentsOf(workload), ...key])];
    });
  }

  #known(ids: readonly HoldingId[]): readonly number[] {
    return ids.flatMap((id) => this.#nodes.get(id) ?? []);
  }
}

function numbered(ids: readonly string[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const id of ids) if (!numbers.has(id)) numbers.set(id, numbers.size);
  return numbers;
}

function byNode(
  edges: readonly StepEdge[],
  nodes: ReadonlyMap<HoldingId, number>,
): { readonly first: Int32Array; readonly sorted: readonly StepEdge[] } {
  const out = Map.groupBy(edges, ({ from }) => from);
  const first = new Int32Array(nodes.size + 1);
  const sorted: StepEdge[] = [];
  for (const [id, at] of nodes) {
    for (const edge of out.get(id) ?? []) sorted.push(edge);
    first[at + 1] = sorted.length;
  }
  return { first, sorted };
}
