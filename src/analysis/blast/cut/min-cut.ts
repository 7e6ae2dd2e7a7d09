/**
 * The cheapest changes that keep something from something: a minimum cut, by augmenting shortest paths.
 * @see J. Edmonds, R. M. Karp, Theoretical Improvements in Algorithmic Efficiency for Network Flow Problems (1972)
 */
import type { HoldingId } from "../component.ts";
import type { Change } from "./change.ts";
import { cheapestSet } from "./cheapest-set.ts";
import type { StepGraph } from "./step-graph.ts";

interface Arc {
  readonly to: HoldingId;
  capacity: number;
  readonly back: Arc | undefined;
  readonly change: Change | undefined;
}

/** Undefined where nothing that is known separates them. */
export function minimumCut(graph: StepGraph, target: HoldingId): readonly Change[] | undefined {
  const cut = cutByFlow(graph, target);
  return cut === undefined ? undefined : cheapestSet(graph, target, cut);
}

/** A change that removes several edges is paid for by each: with such changes there may be a cheaper set. */
function cutByFlow(graph: StepGraph, target: HoldingId): readonly Change[] | undefined {
  const arcs = new Map<HoldingId, Arc[]>();
  const add = (from: HoldingId, arc: Arc): void => {
    const list = arcs.get(from);
    if (list === undefined) arcs.set(from, [arc]);
    else list.push(arc);
  };
  for (const { from, to, change } of graph.edges) {
    const forward: Mutable<Arc> = {
      to,
      capacity: change?.weight ?? Number.POSITIVE_INFINITY,
      back: undefined,
      change,
    };
    const backward: Arc = { to: from, capacity: 0, back: forward, change: undefined };
    forward.back = backward;
    add(from, forward);
    add(to, backward);
  }
  for (;;) {
    const path = shortestPath(arcs, graph.start, target);
    if (path === undefined) break;
    const flow = Math.min(...path.map(({ capacity }) => capacity));
    if (flow === Number.POSITIVE_INFINITY) return undefined;
    for (const arc of path) {
      arc.capacity -= flow;
      if (arc.back !== undefined) arc.back.capacity += flow;
    }
  }
  return cutBehind(graph, reachable(arcs, graph.start));
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function shortestPath(
  arcs: ReadonlyMap<HoldingId, readonly Arc[]>,
  start: HoldingId,
  target: HoldingId,
): readonly Arc[] | undefined {
  const came = new Map<HoldingId, { readonly arc: Arc; readonly from: HoldingId } | null>([[start, null]]);
  for (const [id] of came) {
    if (id === target) break;
    for (const arc of arcs.get(id) ?? [])
      if (arc.capacity > 0 && !came.has(arc.to)) came.set(arc.to, { arc, from: id });
  }
  if (!came.has(target)) return undefined;
  const path: Arc[] = [];
  for (let step = came.get(target); step !== null && step !== undefined; step = came.get(step.from))
    path.push(step.arc);
  return path;
}

function reachable(arcs: ReadonlyMap<HoldingId, readonly Arc[]>, start: HoldingId): ReadonlySet<HoldingId> {
  const found = new Set([start]);
  for (const id of found) for (const { to, capacity } of arcs.get(id) ?? []) if (capacity > 0) found.add(to);
  return found;
}

function cutBehind({ edges }: StepGraph, near: ReadonlySet<HoldingId>): readonly Change[] {
  const changes = new Map<string, Change>();
  for (const { from, to, change } of edges)
    if (near.has(from) && !near.has(to) && change !== undefined) changes.set(change.id, change);
  return [...changes.values()];
}
