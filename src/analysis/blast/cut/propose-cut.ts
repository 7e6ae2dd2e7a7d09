/** Which few changes shrink a compromise most: step by step the set of changes that takes the most from its score for what it costs. */
import type { Mesh } from "../../../model/mesh.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import { bitsIn } from "../bits.ts";
import type { HoldingId } from "../component.ts";
import { BlastModel, type RadiusCounts } from "../radius.ts";
import { scoreOf, WEIGHTS } from "../score.ts";
import { type Change, meshWithChanges } from "./change.ts";
import { minimumCut } from "./min-cut.ts";
import { networkChanges } from "./network-changes.ts";
import { StepCounts } from "./step-counts.ts";
import { StepGraph } from "./step-graph.ts";

/** One step: changes that belong together, and what is left once they, and those before, are applied. */
export interface CutStep {
  readonly changes: readonly Change[];
  readonly weight: number;
  /** Computed anew on the changed mesh. */
  readonly counts: RadiusCounts;
  readonly score: number;
}

export interface Cut {
  readonly component: HoldingId;
  readonly before: { readonly counts: RadiusCounts; readonly score: number };
  readonly steps: readonly CutStep[];
}

export interface CutOptions {
  readonly semantics: Semantics;
  /** Steps at most. */
  readonly steps: number;
}

/** Of so many sets the shrink is computed in earnest, the most promising by the graph's estimate. */
const TRIED = 8;
/** Workloads of which a cut of their own is looked for. */
const TARGETS = 60;
/** Less is not worth a change. */
const LEAST_SHRINK = 0.01;

export async function proposeCut(
  mesh: Mesh,
  component: HoldingId,
  { semantics, steps: most }: CutOptions,
): Promise<Cut> {
  let model = new BlastModel(mesh, semantics, component);
  const before = measured(model, component);
  const steps: CutStep[] = [];
  for (let left = before; steps.length < most; ) {
    const found = await bestStep(model, component, left.score, semantics);
    if (found === undefined) break;
    steps.push(found.step);
    left = found.step;
    model = found.model;
  }
  return { component, before, steps };
}

function measured(model: BlastModel, component: HoldingId): { counts: RadiusCounts; score: number } {
  const counts = model.countsOf(component);
  return { counts, score: scoreOf(counts, model.total) };
}

async function bestStep(
  model: BlastModel,
  component: HoldingId,
  score: number,
  semantics: Semantics,
): Promise<{ readonly step: CutStep; readonly model: BlastModel } | undefined> {
  const graph = new StepGraph(model, component);
  let best: { readonly step: CutStep; readonly model: BlastModel; readonly worth: number } | undefined;
  const closing = networkChanges(model, component).slice(0, TRIED);
  for (const changes of [...candidates(model, graph), ...closing.map((change) => [change])]) {
    const changed = new BlastModel(await meshWithChanges(model.mesh, changes), semantics, component);
    const after = measured(changed, component);
    const weight = weightOf(changes);
    const worth = (score - after.score) / weight;
    if (score - after.score < LEAST_SHRINK || (best !== undefined && worth <= best.worth)) continue;
    best = { step: { changes, weight, ...after }, model: changed, worth };
  }
  return best;
}

function weightOf(changes: readonly Change[]): number {
  return changes.reduce((sum, { weight }) => sum + weight, 0);
}

/** Each change by itself, and the cheapest set that keeps each workload from it; the most promising first. */
function candidates(model: BlastModel, graph: StepGraph): readonly (readonly Change[])[] {
  const sets = new Map<string, readonly Change[]>();
  const add = (changes: readonly Change[]): void => {
    // Two changes of one resource are made one after the other, in two steps.
    const names = new Set(changes.map(({ document }) => JSON.stringify([document.kind, document.metadata])));
    if (changes.length > 0 && names.size === changes.length)
      sets.set(
        changes
          .map(({ id }) => id)
          .sort()
          .join("\n"),
        changes,
      );
  };
  for (const change of graph.changes.values()) add([change]);
  for (const target of targetsOf(model, graph.start)) add(minimumCut(graph, target) ?? []);
  return mostPromising([...sets.values()], new StepCounts(graph, model), model.total);
}

/** By the graph's estimate. Sets that cannot be worth as much as those that were walked are not walked. */
function mostPromising(
  sets: readonly (readonly Change[])[],
  counts: StepCounts,
  total: number,
): readonly (readonly Change[])[] {
  const score = (removed: readonly Change[]): number => scoreOf(counts.without(removed), total);
  const now = score([]);
  const mostLost = counts.mostLost(WEIGHTS);
  const ranked = sets
    .map((changes) => ({ changes, most: (100 * mostLost(changes)) / total / weightOf(changes) }))
    .sort((a, b) => b.most - a.most);
  let best: { readonly changes: readonly Change[]; readonly worth: number }[] = [];
  for (const { changes, most } of ranked) {
    if (most <= (best[TRIED - 1]?.worth ?? 0)) break;
    const worth = (now - score(changes)) / weightOf(changes);
    if (worth > 0) best = [...best, { changes, worth }].sort((a, b) => b.worth - a.worth).slice(0, TRIED);
  }
  return best.map(({ changes }) => changes);
}

function targetsOf(model: BlastModel, start: HoldingId): readonly HoldingId[] {
  const { controlled, reached, further } = model.radiusOf(start);
  const places = [controlled, reached, further].flatMap((bits) => [...bitsIn(bits)]).slice(0, TARGETS);
  const own = places.flatMap((at) => {
    const workload = model.mesh.workloads[at];
    return workload === undefined ? [] : model.graph.componentsOf(workload);
  });
  return [...new Set([...own, "apiserver", "ca", "node/*"])].filter((id) => id !== start);
}
