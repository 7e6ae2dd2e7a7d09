/**
 * The cheapest set of changes that separates, where one change may cut several edges: each way that is left is closed by one of the changes on it.
 * Which of them is tried in turn (branch and bound); the flow of min-cut.ts, in which such a change is paid for at each edge, bounds it from above.
 */
import type { HoldingId } from "../component.ts";
import type { Change } from "./change.ts";
import type { StepEdge, StepGraph } from "./step-graph.ts";

/** Edges that are looked at, at most; past them the best set so far stands. The problem is NP-hard (minimum label cut). */
const MOST_LOOKS = 300_000;

/**
 * @param known a set that separates.
 * @returns one that costs no more; the cheapest there is, unless that would have taken too long.
 */
export function cheapestSet(
  graph: Pick<StepGraph, "edges" | "start">,
  target: HoldingId,
  known: readonly Change[],
): readonly Change[] {
  if (!cutsMany(graph.edges)) return known;
  const out = Map.groupBy(graph.edges, ({ from }) => from);
  let best = { changes: known, weight: weightOf(known) };
  const budget = { looks: MOST_LOOKS };
  const search = (removed: readonly Change[], kept: ReadonlySet<string>, weight: number): void => {
    if (weight >= best.weight || budget.looks <= 0) return;
    const way = wayWithFewestChanges(out, { from: graph.start, to: target, removed, budget });
    if (way === undefined) {
      best = { changes: removed, weight };
      return;
    }
    // What was tried before and kept stands in all that follows: no set is looked at twice.
    const without = new Set(kept);
    for (const change of way) {
      if (without.has(change.id)) continue;
      search([...removed, change], without, weight + change.weight);
      without.add(change.id);
    }
  };
  search([], new Set(), 0);
  return best.changes;
}

function weightOf(changes: readonly Change[]): number {
  return changes.reduce((sum, { weight }) => sum + weight, 0);
}

/** Where no change cuts two edges the flow is exact. */
function cutsMany(edges: readonly StepEdge[]): boolean {
  const ids = edges.flatMap(({ change }) => change?.id ?? []);
  return new Set(ids).size < ids.length;
}

interface Search {
  readonly from: HoldingId;
  readonly to: HoldingId;
  readonly removed: readonly Change[];
  readonly budget: { looks: number };
}

/** The changes on the way, each once; undefined where there is none. Fewest first, so that there is little to choose from. */
function wayWithFewestChanges(
  out: ReadonlyMap<HoldingId, readonly StepEdge[]>,
  { from: start, to: target, removed: changes, budget }: Search,
): readonly Change[] | undefined {
  const removed = new Set(changes.map(({ id }) => id));
  const came = new Map<HoldingId, StepEdge | null>([[start, null]]);
  let layer = [start];
  while (layer.length > 0 && !came.has(target)) {
    const next: StepEdge[] = [];
    // Grows while it is walked: what no change cuts is of the same layer.
    for (const id of layer)
      for (const edge of out.get(id) ?? []) {
        const { to, change } = edge;
        budget.looks--;
        if (came.has(to) || (change !== undefined && removed.has(change.id))) continue;
        if (change !== undefined) next.push(edge);
        else {
          came.set(to, edge);
          layer.push(to);
        }
      }
    layer = [];
    for (const edge of next)
      if (!came.has(edge.to)) {
        came.set(edge.to, edge);
        layer.push(edge.to);
      }
  }
  if (!came.has(target)) return undefined;
  const found = new Map<string, Change>();
  for (let edge = came.get(target); edge !== null && edge !== undefined; edge = came.get(edge.from))
    if (edge.change !== undefined) found.set(edge.change.id, edge.change);
  return [...found.values()];
}
