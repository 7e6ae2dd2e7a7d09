/** What one compromise yields and reaches that it did not, and the other way round, by name. */
import { API_SERVER } from "../component.ts";
import type { ReachStep } from "../report.ts";
import { byName, type Difference, type ReportComparison, type WatchedReport } from "./comparison.ts";

export function compareReports(
  before: WatchedReport,
  now: WatchedReport,
  unclear: readonly string[],
): ReportComparison {
  return {
    kind: "component",
    component: now.component,
    score: { before: before.score, now: now.score },
    counts: { before: before.counts, now: now.counts },
    workloads: { before: before.workloads, now: now.workloads },
    // Who had the cluster had all that was to come.
    grown: hasCluster(before) ? [] : [...onlyIn(now, before), ...nearerIn(now, before, "now")],
    shrunk: hasCluster(now) ? [] : [...onlyIn(before, now), ...nearerIn(before, now, "before")],
    unclear,
  };
}

function hasCluster({ component, gains }: WatchedReport): boolean {
  return component === API_SERVER || gains.some(({ to }) => to === API_SERVER);
}

/** Gains, and what else has a name but no distance. */
function onlyIn(own: WatchedReport, other: WatchedReport): readonly Difference[] {
  const known = new Set(other.gains.map(({ to }) => to));
  const gains = own.gains
    .filter(({ to }) => !known.has(to))
    .map((step) => ({ what: "gains", name: step.to, step }) as const)
    .sort((a, b) => byName(a.name, b.name));
  return [
    ...gains,
    ...namesOnlyIn("traffic", own.position.traffic, other.position.traffic),
    ...namesOnlyIn("signs", ...signedFor(own, other)),
    ...namesOnlyIn("hosts", own.externalHosts, other.externalHosts),
  ];
}

function namesOnlyIn(
  what: "traffic" | "signs" | "hosts",
  own: readonly string[],
  other: readonly string[],
): readonly Difference[] {
  const known = new Set(other);
  return [...new Set(own)]
    .filter((name) => !known.has(name))
    .sort(byName)
    .map((name) => ({ what, name }));
}

const ANY_IDENTITY = "any identity";

/** Against all identities no single one counts. */
function signedFor(
  own: WatchedReport,
  other: WatchedReport,
): readonly [own: readonly string[], other: readonly string[]] {
  if (other.mayAskFor === "all") return [[], []];
  return [own.mayAskFor === "all" ? [ANY_IDENTITY] : own.mayAskFor, other.mayAskFor];
}

interface Place {
  readonly hop: number;
  readonly step?: ReachStep;
}

function placesIn({ controls, reaches, further }: WatchedReport): ReadonlyMap<string, Place> {
  return new Map<string, Place>([
    ...[...further, ...reaches].map((step) => [step.to, { hop: step.hop, step }] as const),
    ...controls.map((name) => [name, { hop: 0 }] as const),
  ]);
}

/** Workloads that are nearer on the one side than on the other; the nearest first. */
function nearerIn(own: WatchedReport, other: WatchedReport, side: "before" | "now"): readonly Difference[] {
  const others = placesIn(other);
  return [...placesIn(own)]
    .filter(([name, { hop }]) => hop < (others.get(name)?.hop ?? Number.POSITIVE_INFINITY))
    .sort(([a, left], [b, right]) => left.hop - right.hop || byName(a, b))
    .map(([name, { hop, step }]) => {
      const elsewhere = others.get(name)?.hop ?? null;
      const hops = side === "now" ? { before: elsewhere, now: hop } : { before: hop, now: elsewhere };
      return { what: "workload", name, hop: hops, ...(step === undefined ? {} : { step }) };
    });
}
