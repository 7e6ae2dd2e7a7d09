import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import {
  advisoriesFor,
  advisoryAgeDays,
  leastSoundVersion,
} from "../../../src/analysis/trust/advisories/advisories-for.ts";
import {
  ADVISORIES_FORMAT,
  type AdvisoryData,
  COMPONENTS,
  type Component,
  parseAdvisories,
  type VersionRange,
} from "../../../src/analysis/trust/advisories/advisory.ts";
import { parseVersion } from "../../../src/analysis/trust/advisories/version.ts";

const SHIPPED = resolve(import.meta.dirname, "../../../data/advisories.json");

function shipped(): AdvisoryData {
  const parsed = parseAdvisories(JSON.parse(readFileSync(SHIPPED, "utf8")));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.data;
}

function dataOf(ranges: Readonly<Record<string, readonly VersionRange[]>>): AdvisoryData {
  return {
    format: ADVISORIES_FORMAT,
    date: "2026-01-01",
    sources: [
      {
        component: "istio",
        name: "made up",
        url: "https://example.com/",
        asOf: "2026-01-01",
        advisories: 1,
        complete: "nothing",
      },
    ],
    advisories: Object.entries(ranges).map(([id, affected], at) => ({
      id,
      cves: [],
      title: "made up",
      components: ["istio"],
      affected,
      cvss: 9 - at,
      source: "https://example.com/",
    })),
  };
}

function idsOf(data: AdvisoryData, component: Component, version: string): readonly string[] {
  const found = advisoriesFor(data, component, version);
  assert.ok(found.known, JSON.stringify(found));
  return found.curable.map(({ id }) => id);
}

test("what is shipped is valid, as old as its oldest source, and each source counts what it gave", () => {
  const { advisories, sources, date } = shipped();
  assert.equal(date, sources.map(({ asOf }) => asOf).sort()[0]);
  assert.equal(
    advisories.length,
    sources.reduce((sum, source) => sum + source.advisories, 0),
  );
  const istio = advisories.filter(({ components }) => components.includes("istio"));
  assert.equal(istio.length, sources.find(({ component }) => component === "istio")?.advisories);
});

test("every range that is shipped ends after it begins, and none of an advisory overlap", () => {
  for (const { id, affected } of shipped().advisories) {
    const spans = affected
      .map(({ from, before, through }) => ({
        from: order(from),
        to: before === undefined ? order(through) + 1 : order(before),
      }))
      .sort((a, b) => a.from - b.from);
    for (const [index, { from, to }] of spans.entries()) {
      assert.ok(Number.isNaN(to) || from < to, id);
      const next = spans[index + 1];
      assert.ok(next === undefined || next.from >= to, id);
    }
  }
});

/** NaN for a range with no end. */
function order(version: string | undefined): number {
  const [major = 0, minor = 0, patch = 0] = (version ?? "x").split(".").map(Number);
  return major * 1e8 + minor * 1e4 + patch;
}

test("known versions: the bulletin that names them, and the one after its range", () => {
  const data = shipped();
  assert.ok(idsOf(data, "istio", "1.29.1").includes("ISTIO-SECURITY-2026-003"));
  assert.ok(!idsOf(data, "istio", "1.29.2").includes("ISTIO-SECURITY-2026-003"));
  assert.ok(idsOf(data, "istio", "1.9.4").includes("ISTIO-SECURITY-2021-006"));
  assert.ok(!idsOf(data, "istio", "1.9.5").includes("ISTIO-SECURITY-2021-006"));
  assert.ok(idsOf(data, "envoy", "v1.36.4").includes("CVE-2026-26308"));
  assert.ok(!idsOf(data, "envoy", "v1.36.5").includes("CVE-2026-26308"));
  assert.ok(idsOf(data, "kubelet", "v1.30.2").includes("CVE-2024-10220"));
  assert.ok(!idsOf(data, "kubelet", "v1.30.3").includes("CVE-2024-10220"));
  assert.ok(!idsOf(data, "kube-apiserver", "v1.30.2").includes("CVE-2024-10220"));
});

test("ranges: the first and the last version in, the one before and the one after out", () => {
  const data = dataOf({
    BEFORE: [{ from: "1.2.0", before: "1.2.5" }],
    THROUGH: [{ from: "1.3.0", through: "1.3.5" }],
  });
  for (const [version, ids] of Object.entries({
    "1.1.9": [],
    "1.2.0": ["BEFORE"],
    "1.2.4": ["BEFORE"],
    "1.2.5": [],
    "1.2.10": [],
    "1.3.5": ["THROUGH"],
    "1.3.6": [],
    "v1.3.5": ["THROUGH"],
    "1.3.5-distroless": ["THROUGH"],
    "1.3.5-gke.12": ["THROUGH"],
    "1.2.5-gke.12": [],
    "1.2.5+k3s1": [],
  }))
    assert.deepEqual(idsOf(data, "istio", version), ids, version);
});

test("pre-releases count as affected from both sides: what they were cut from is not known", () => {
  const data = dataOf({ ONE: [{ from: "1.3.0", before: "1.3.5" }] });
  assert.deepEqual(idsOf(data, "istio", "1.3.0-alpha.1"), ["ONE"]);
  assert.deepEqual(idsOf(data, "istio", "1.3.5-rc.0"), ["ONE"]);
  assert.deepEqual(idsOf(data, "istio", "1.3.6-rc.0"), []);
});

test("a floating tag is affected by what no patch of its line is free of; otherwise nothing is said", () => {
  const data = dataOf({
    PATCHED: [{ from: "1.3.0", before: "1.3.5" }],
    WHOLE: [{ from: "1.1.0", before: "1.3.0" }],
  });
  assert.deepEqual(idsOf(data, "istio", "1.2"), ["WHOLE"]);
  assert.equal(advisoriesFor(data, "istio", "1.3").known, false);
  assert.equal(advisoriesFor(data, "istio", "latest").known, false);
  assert.equal(advisoriesFor(data, "istio", "").known, false);
});

test("advisories that no version is free of stand apart, and do not make every version unsound", () => {
  const data = dataOf({ SETTING: [{ from: "1.5.0" }], FAULT: [{ from: "1.5.0", before: "1.5.2" }] });
  const found = advisoriesFor(data, "istio", "1.5.1");
  assert.ok(found.known);
  assert.deepEqual(
    [found.curable.map(({ id }) => id), found.standing.map(({ id }) => id)],
    [["FAULT"], ["SETTING"]],
  );
  assert.equal(leastSoundVersion(data, "istio", "1.5.1"), "1.5.2");
});

test("the version to go to is free of all, in its own line where that has one", () => {
  const data = dataOf({
    A: [{ from: "1.2.0", through: "1.2.5" }],
    B: [
      { from: "1.2.0", through: "1.2.7" },
      { from: "1.3.0", through: "1.3.2" },
    ],
    C: [{ from: "0.0.0", before: "1.2.0" }],
  });
  assert.equal(leastSoundVersion(data, "istio", "1.2.1"), "1.2.8");
  assert.equal(leastSoundVersion(data, "istio", "1.3.0"), "1.3.3");
  assert.equal(leastSoundVersion(data, "istio", "1.1.0"), "1.2.8");
  assert.equal(leastSoundVersion(data, "istio", "main"), undefined);
  for (const component of COMPONENTS.filter((one) => one !== "kube-scheduler")) {
    const sound = leastSoundVersion(shipped(), component, "1.10.0");
    if (sound !== undefined) assert.deepEqual(idsOf(shipped(), component, sound), [], component);
  }
});

test("the gravest come first, and one without a score with them", () => {
  const data = dataOf({ A: [{ from: "1.0.0", before: "2.0.0" }], B: [{ from: "1.0.0", before: "2.0.0" }] });
  const { cvss: _, ...unrated } = {
    ...data.advisories[0],
    id: "UNRATED",
  } as AdvisoryData["advisories"][number];
  assert.deepEqual(idsOf({ ...data, advisories: [...data.advisories, unrated] }, "istio", "1.1.0"), [
    "UNRATED",
    "A",
    "B",
  ]);
});

test("age is counted in whole days from the data's own day, and never below none", () => {
  const data = dataOf({ A: [{ from: "1.0.0" }] });
  assert.equal(advisoryAgeDays(data, Date.UTC(2026, 0, 31, 23)), 30);
  assert.equal(advisoryAgeDays(data, Date.UTC(2025, 0, 1)), 0);
});

const BAD: Readonly<Record<string, (data: Record<string, unknown>) => void>> = {
  "another format": (data) => (data.format = "bulwark-advisories/2"),
  "a day that is none": (data) => (data.date = "2026-02-30"),
  "a source that is older than the whole": (data) => set(data.sources, "asOf", "2025-12-31"),
  "no advisories": (data) => (data.advisories = []),
  "a field that is unknown": (data) => set(data.advisories, "severity", "low"),
  "a component that is unknown": (data) => set(data.advisories, "components", ["nginx"]),
  "a range with two ends": (data) =>
    set(data.advisories, "affected", [{ from: "1.0.0", before: "1.1.0", through: "1.1.0" }]),
  "a range that is no version": (data) => set(data.advisories, "affected", [{ from: "1.0" }]),
  "no range": (data) => set(data.advisories, "affected", []),
  "a score beyond ten": (data) => set(data.advisories, "cvss", 10.1),
  "a CVE that is none": (data) => set(data.advisories, "cves", ["CVE-XXXX"]),
  "a source that is no https": (data) => set(data.advisories, "source", "javascript:alert(1)"),
  "a title that moves the cursor": (data) => set(data.advisories, "title", "sound\u001b[2J"),
  "an advisory twice": (data) => {
    const list = data.advisories as unknown[];
    list.push(structuredClone(list[0]));
  },
};

function set(list: unknown, key: string, value: unknown): void {
  (list as Record<string, unknown>[])[0] = { ...(list as Record<string, unknown>[])[0], [key]: value };
}

for (const [name, spoil] of Object.entries(BAD))
  test(`parseAdvisories refuses the whole file for ${name}`, () => {
    const data = structuredClone(dataOf({ A: [{ from: "1.0.0", before: "1.1.0" }] })) as unknown as Record<
      string,
      unknown
    >;
    assert.ok(parseAdvisories(data).ok);
    spoil(data);
    assert.equal(parseAdvisories(data).ok, false);
  });

test("parseAdvisories refuses what is no object at all", () => {
  for (const value of [undefined, null, 1, "x", [], [{}]]) assert.equal(parseAdvisories(value).ok, false);
});

test("parseVersion reads tags of images and nodes, and nothing else", () => {
  for (const [text, expected] of Object.entries({
    "1.27.3": [1, 27, 3, false],
    "v1.31.2+k3s1": [1, 31, 2, false],
    "1.27.3-distroless": [1, 27, 3, false],
    "1.28.0-rc.1": [1, 28, 0, true],
    "1.28.0-alpha": [1, 28, 0, true],
    "1.29-alpha.0": [1, 29, undefined, true],
    "1.27": [1, 27, undefined, false],
    "v1.29.3-eks-ae9a62a": [1, 29, 3, false],
    "distroless-v1.29.3": undefined,
    latest: undefined,
    "1": undefined,
    "1.2.3.4x!": [1, 2, 3, false],
    "99999999.1.1": undefined,
  })) {
    const read = parseVersion(text);
    assert.deepEqual(read && [read.major, read.minor, read.patch, read.isPreRelease], expected, text);
  }
});
