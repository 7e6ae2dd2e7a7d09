/** Which components cost more than they did, by counts: a score is a share, which falls by every workload that is new and harmless. */
import type { ComponentScore } from "../overview.ts";
import { byName, type ComponentChange, type OverviewComparison, type WatchedOverview } from "./comparison.ts";

export function compareOverviews(
  before: WatchedOverview,
  now: WatchedOverview,
  unclear: readonly string[],
): OverviewComparison {
  const old = new Map(before.components.map((one) => [one.component, one]));
  const today = new Map(now.components.map((one) => [one.component, one]));
  const workloads = { before: before.workloads, now: now.workloads };
  const components = [...new Set([...today.keys(), ...old.keys()])].flatMap(
    (component): ComponentChange[] => {
      const [was = null, is = null] = [old.get(component), today.get(component)];
      const change = changeOf(was, is, workloads.before);
      return change === undefined ? [] : [{ component, change, before: was, now: is }];
    },
  );
  return {
    kind: "overview",
    score: { before: before.meshScore, now: now.meshScore },
    workloads,
    components: components.sort(inOrder),
    unclear,
  };
}

function changeOf(
  before: ComponentScore | null,
  now: ComponentScore | null,
  workloadsBefore: number,
): ComponentChange["change"] | undefined {
  if (before === null) return "new";
  if (now === null) return "gone";
  const [was, is] = [levelsOf(before), levelsOf(now)];
  // Who had every workload has not grown by one that is new.
  if (
    is.workloads.some(
      (count, at) => count > (was.workloads[at] ?? 0) && was.workloads[at] !== workloadsBefore,
    )
  )
    return "grown";
  if (is.gains > was.gains) return "grown";
  const isLess = is.workloads.some((count, at) => count < (was.workloads[at] ?? 0)) || is.gains < was.gains;
  return isLess ? "shrunk" : undefined;
}

/** What is controlled; that and what is reached; that and what follows: a workload that comes nearer adds to one of them and takes from none. */
function levelsOf({ controlled, reached, further, gains }: ComponentScore): {
  readonly workloads: readonly number[];
  readonly gains: number;
} {
  return {
    workloads: [controlled, controlled + reached, controlled + reached + further],
    gains: gains ?? Number.POSITIVE_INFINITY,
  };
}

const ORDER: readonly ComponentChange["change"][] = ["new", "grown", "shrunk", "gone"];

function inOrder(a: ComponentChange, b: ComponentChange): number {
  return (
    ORDER.indexOf(a.change) - ORDER.indexOf(b.change) ||
    costOf(b) - costOf(a) ||
    byName(a.component, b.component)
  );
}

function costOf({ before, now }: ComponentChange): number {
  return (now ?? before)?.score ?? 0;
}
