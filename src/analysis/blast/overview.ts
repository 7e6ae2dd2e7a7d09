/** Every component with its score: what to look at first, and a number to watch. */
import type { HoldingId } from "./component.ts";
import { componentsOfMesh } from "./holdings.ts";
import type { BlastModel, RadiusCounts } from "./radius.ts";
import { scoreOf } from "./score.ts";

export interface ComponentScore extends RadiusCounts {
  readonly component: HoldingId;
  readonly score: number;
  /** How many keys, tokens, Secrets, nodes … are had without anybody's leave; null: the cluster, and with it all. */
  readonly gains: number | null;
}

export interface BlastOverview {
  /** Highest score first. */
  readonly components: readonly ComponentScore[];
  /** The mean over the applications, gateways and waypoints: each a way in. */
  readonly meshScore: number;
  readonly workloads: number;
  /** Whose policies could not be analysed: they count as open to everybody. */
  readonly notAnalysed: readonly { readonly workload: string; readonly why: string }[];
}

export function overviewOf(model: BlastModel): BlastOverview {
  const components = componentsOfMesh(model.graph)
    .map((component): ComponentScore => {
      const counts = model.countsOf(component);
      const { isAll, yields } = model.holdings.of(component);
      // The first of them is the component itself.
      const gains = isAll ? null : yields.length - 1;
      return { component, score: scoreOf(counts, model.total), ...counts, gains };
    })
    .sort((a, b) => b.score - a.score || (a.component < b.component ? -1 : 1));
  const own = components.filter(({ component }) => /^(workload|gateway|waypoint)\//.test(component));
  return {
    components,
    meshScore: own.length === 0 ? 0 : own.reduce((sum, { score }) => sum + score, 0) / own.length,
    workloads: model.total,
    notAnalysed: model.entries.notAnalysed,
  };
}
