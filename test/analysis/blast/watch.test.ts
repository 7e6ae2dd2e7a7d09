/** What counts as grown, where it is easy to be wrong: shares that fall, workloads that come nearer, and who has it all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ComponentScore } from "../../../src/analysis/blast/overview.ts";
import type { GainStep, ReachStep } from "../../../src/analysis/blast/report.ts";
import { scoreOf } from "../../../src/analysis/blast/score.ts";
import { compareOverviews } from "../../../src/analysis/blast/watch/compare-overviews.ts";
import { compareReports } from "../../../src/analysis/blast/watch/compare-reports.ts";
import {
  isGrown,
  isScoreHigher,
  type WatchedOverview,
  type WatchedReport,
} from "../../../src/analysis/blast/watch/comparison.ts";

/** Name, controlled, reached, further, gains. */
type Row = readonly [string, number, number, number, number | null];

function overview(workloads: number, ...rows: readonly Row[]): WatchedOverview {
  const components = rows.map(([component, controlled, reached, further, gains]): ComponentScore => {
    const counts = { controlled, reached, further };
    return { component, ...counts, gains, score: scoreOf(counts, workloads) };
  });
  const meshScore = components.reduce((sum, { score }) => sum + score, 0) / components.length;
  return { components, meshScore, workloads };
}

function changes(before: WatchedOverview, now: WatchedOverview): readonly string[] {
  return compareOverviews(before, now, []).components.map(
    ({ change, component }) => `${change} ${component}`,
  );
}

test("a reach more is growth, although harmless new workloads make the score fall", () => {
  const before = overview(10, ["workload/a/a", 1, 2, 0, 3]);
  const now = overview(20, ["workload/a/a", 1, 3, 0, 3]);
  const comparison = compareOverviews(before, now, []);
  assert.deepEqual([isGrown(comparison), isScoreHigher(comparison)], [true, false]);
  assert.deepEqual(changes(before, now), ["grown workload/a/a"]);
});

test("a score that rises since the mesh is smaller is no growth", () => {
  const comparison = compareOverviews(
    overview(20, ["workload/a/a", 1, 2, 0, 3]),
    overview(10, ["workload/a/a", 1, 2, 0, 3]),
    [],
  );
  assert.deepEqual([isGrown(comparison), isScoreHigher(comparison)], [false, true]);
});

test("what comes nearer grows, what goes farther shrinks, a Secret more grows", () => {
  const [far, near] = [
    overview(10, ["workload/a/a", 1, 2, 3, 3]),
    overview(10, ["workload/a/a", 1, 3, 2, 3]),
  ];
  assert.deepEqual(changes(far, near), ["grown workload/a/a"]);
  assert.deepEqual(changes(near, far), ["shrunk workload/a/a"]);
  assert.deepEqual(changes(far, overview(10, ["workload/a/a", 1, 2, 3, 4])), ["grown workload/a/a"]);
  assert.deepEqual(changes(far, overview(10, ["workload/a/a", 1, 2, 3, null])), ["grown workload/a/a"]);
});

test("who had everything has not grown by a workload that is new; which itself is new, and listed first", () => {
  const before = overview(
    2,
    ["istiod", 2, 0, 0, null],
    ["workload/a/a", 1, 0, 0, 1],
    ["workload/a/z", 1, 1, 0, 1],
  );
  const now = overview(
    2,
    ["istiod", 2, 0, 0, null],
    ["workload/a/b", 1, 0, 0, 1],
    ["workload/a/z", 1, 0, 0, 1],
  );
  assert.deepEqual(changes(before, now), ["new workload/a/b", "shrunk workload/a/z", "gone workload/a/a"]);
  assert.deepEqual(
    changes(overview(2, ["istiod", 2, 0, 0, null]), overview(3, ["istiod", 3, 0, 0, null])),
    [],
  );
});

const EMPTY: WatchedReport = {
  component: "workload/a/a",
  score: 0,
  counts: { controlled: 1, reached: 0, further: 0 },
  workloads: 4,
  controls: ["a/a"],
  gains: [],
  reaches: [],
  further: [],
  mayAskFor: [],
  externalHosts: [],
  position: { traffic: [] },
};

function reach(to: string, hop: number): ReachStep {
  return {
    kind: "reaches",
    hop,
    from: "a/a",
    as: null,
    to,
    identity: "id",
    port: 80,
    way: "direct",
    why: "open",
    confirmed: "unknown",
  };
}

function gain(to: string): GainStep {
  return { kind: "gains", from: "workload/a/a", to, why: "it says so", places: [] };
}

function told(before: WatchedReport, now: WatchedReport): readonly string[] {
  return compareReports(before, now, []).grown.map((difference) =>
    difference.what === "workload"
      ? `${difference.name} ${difference.hop.before}→${difference.hop.now}`
      : `${difference.what} ${difference.name}`,
  );
}

test("of one component everything that is new has its name, in an order that does not depend on the files", () => {
  const now: WatchedReport = {
    ...EMPTY,
    controls: ["a/a", "b/taken"],
    gains: [gain("secret/a/z"), gain("key/k")],
    reaches: [reach("z/z", 1), reach("b/b", 1)],
    further: [reach("c/c", 3)],
    mayAskFor: ["id"],
    externalHosts: ["host.example"],
    position: { traffic: ["a/a"] },
  };
  const before: WatchedReport = { ...EMPTY, reaches: [reach("b/taken", 1)], further: [reach("b/b", 2)] };
  const expected = [
    "gains key/k",
    "gains secret/a/z",
    "traffic a/a",
    "signs id",
    "hosts host.example",
    "b/taken 1→0",
    "b/b 2→1",
    "z/z null→1",
    "c/c null→3",
  ];
  assert.deepEqual(told(before, now), expected);
  const turned = { ...now, gains: now.gains.toReversed(), reaches: now.reaches.toReversed() };
  assert.deepEqual(told(before, turned), expected);
  assert.deepEqual(told(now, now), []);
  assert.equal(compareReports(now, before, []).shrunk.length, expected.length);
});

test("any identity stands against every single one, and who had the cluster grows by nothing", () => {
  const [some, all] = [
    { ...EMPTY, mayAskFor: ["id"] },
    { ...EMPTY, mayAskFor: "all" as const },
  ];
  assert.deepEqual(told(some, all), ["signs any identity"]);
  assert.deepEqual(told(all, some), []);
  const cluster = { ...EMPTY, gains: [gain("apiserver")] };
  assert.deepEqual(told(cluster, { ...cluster, controls: ["a/a", "b/new"] }), []);
  assert.deepEqual(told(EMPTY, cluster), ["gains apiserver"]);
});
