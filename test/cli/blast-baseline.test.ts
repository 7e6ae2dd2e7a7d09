/** `blast --baseline`: what has grown and shrunk since an earlier answer, and which files are none. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { overviewOf } from "../../src/analysis/blast/overview.ts";
import { BlastModel } from "../../src/analysis/blast/radius.ts";
import { blastReport } from "../../src/analysis/blast/report.ts";
import { compareOverviews } from "../../src/analysis/blast/watch/compare-overviews.ts";
import { compareReports } from "../../src/analysis/blast/watch/compare-reports.ts";
import type { BlastAnswer } from "../../src/cli/blast/blast-document.ts";
import { readBaseline } from "../../src/cli/blast/read-baseline.ts";
import { renderBlast } from "../../src/cli/render/blast.ts";
import { comparisonMarkdown, comparisonText } from "../../src/cli/render/blast-comparison.ts";
import { runBlast } from "../../src/cli/run-blast.ts";
import { loadMesh } from "../../src/index.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { bulwark } from "./run-bulwark.ts";

const MESH = "examples/compromise";
const NAMED = "workload/team-a/app-a";
const folder = mkdtempSync(join(tmpdir(), "bw-blast-baseline-"));
const whole = join(folder, "whole.json");
const one = join(folder, "one.json");
const more = join(folder, "more.yaml");
after(() => rmSync(folder, { recursive: true, force: true }));

/** app-a may call the deployer, which only the ingress gateway could. */
const MORE = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: app-a-deploys, namespace: ops}
spec:
  selector: {matchLabels: {app: deployer}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/team-a/sa/app-a]}}]
`;

/** As `--format json` writes it. */
async function answerOf(
  sources: readonly string[],
  asked: { readonly named: boolean },
): Promise<BlastAnswer> {
  const { mesh } = await loadMesh(sources);
  const model = new BlastModel(mesh, "istio");
  if (!asked.named) return { overview: overviewOf(model) };
  return { report: await blastReport(model, NAMED, { semantics: "istio", witnesses: 500 }) };
}

function written(file: string, answer: BlastAnswer): void {
  writeFileSync(file, renderBlast({ answers: [answer], semantics: "istio", unclear: [] }, "json"));
}

before(async () => {
  writeFileSync(more, MORE);
  written(whole, await answerOf([MESH], { named: false }));
  written(one, await answerOf([MESH], { named: true }));
});

test("the mesh's answer, compared: which components have grown, by counts", async () => {
  const { overview: old } = readBaseline(whole, { semantics: "istio" });
  const { overview: now } = await answerOf([MESH, more], { named: false });
  assert.ok(old !== undefined && now !== undefined);
  const { components, score } = compareOverviews(old, now, []);
  assert.ok(score.now > score.before);
  assert.deepEqual(
    components.map(({ change, component }) => `${change} ${component}`),
    [
      "grown node/n2",
      "grown workload/agents/collector",
      "grown sidecar/team-a/app-a",
      "grown sidecar/team-a/app-a-worker",
      "grown workload/team-a/app-a",
      "grown workload/team-a/app-a-worker",
    ],
  );
  const [, , sidecar] = components;
  assert.deepEqual([sidecar?.before?.reached, sidecar?.now?.reached], [4, 5]);
});

test("what has grown ends with exit code 2, as docs/blast.md shows it; and is the baseline for when it is gone again", async () => {
  const grown = ["--compromise", NAMED, "--baseline", one, "--fail-on", "grown"];
  const { code, stdout } = await bulwark(["blast", MESH, more, ...grown]);
  assert.equal(code, 2);
  const shown = stdout.slice(stdout.indexOf("since the baseline")).replaceAll(`${folder}/`, "deploy/");
  const [title = "", step = ""] = shown.split("\n");
  const docs = readFileSync("docs/blast.md", "utf8");
  for (const line of [title, step]) assert.ok(docs.includes(`    ${line}\n`), line);

  const [{ report: wide }, { report: narrow }] = [
    await answerOf([MESH, more], { named: true }),
    await answerOf([MESH], { named: true }),
  ];
  assert.ok(wide !== undefined && narrow !== undefined);
  const file = join(folder, "grown.json");
  written(file, { report: wide, comparison: compareReports(narrow, wide, []) });
  const { report: read } = readBaseline(file, { semantics: "istio", compromise: NAMED });
  assert.ok(read !== undefined);
  assert.match(
    comparisonText(compareReports(read, narrow, ["a kustomization"])),
    /^since the baseline: score of workload\/team-a\/app-a 28\.65 → 27\.08 \(controls 2, reaches 5 → 4, further 3 → 4\), over 12 workloads\n {2}- ops\/deployer: reached at hop 2, before reached at hop 1, as it was: .* rule 0 lets it through .*more\.yaml:7\)\n {6}for example: \{.*\ncannot be told: a kustomization\n$/,
  );
  assert.match(
    comparisonMarkdown(compareReports(narrow, narrow, [])),
    /^### Since the baseline: .*\n\nnothing has grown or shrunk$/,
  );
});

test("what is no baseline of this question is refused before anything is computed", () => {
  const asked = { semantics: "istio" } as const;
  const text = readFileSync(whole, "utf8");
  const changed = (change: (document: Record<string, never>) => void): string => {
    const document = JSON.parse(text);
    change(document);
    return JSON.stringify(document);
  };
  const file = join(folder, "written.json");
  const cases: readonly (readonly [name: string, content: string, message: RegExp])[] = [
    ["truncated", text.slice(0, 900), /is not JSON, or cut off: make one by/],
    ["empty", "", /is empty: make one by/],
    ["other JSON", "{}", /no whole answer .* `kind` is not "bulwark blast"/],
    ["no object", "[1]", /no whole answer/],
    ["null", "null", /no whole answer/],
    ["schema", changed((own) => Object.assign(own, { schema: 2 })), /has schema 2, and this Bulwark reads 1/],
    ["version", changed((own) => Object.assign(own, { bulwark: "9.9.9" })), /made by Bulwark "9\.9\.9"/],
    ["semantics", changed((own) => Object.assign(own, { semantics: "strict" })), /is for --semantics strict/],
    ["modes", changed((own) => Object.assign(own, { modes: [] })), /was made with --compare/],
    ["neither", changed((own) => Reflect.deleteProperty(own, "overview")), /`report` is missing/],
    [
      "a count that is none",
      text.replace('"controlled": 12', '"controlled": "12"'),
      /`overview\.components\[0\]\.controlled` is not a count/,
    ],
    ["twice", text.replace('"component": "istiod"', '"component": "apiserver"'), /one of them twice/],
  ];
  for (const [name, content, message] of cases) {
    writeFileSync(file, content);
    assert.throws(() => readBaseline(file, asked), refused(message), name);
  }
  for (const [path, compromise, message] of [
    [join(folder, "none.json"), undefined, /is not there: make one by/],
    [folder, undefined, /is a folder, and not the answer of a run/],
    [one, undefined, /is of `workload\/team-a\/app-a`, and this run is of the whole mesh: give --compromise/],
    [one, "istiod", /and this run is of `istiod`/],
    [whole, "istiod", /is of the whole mesh, and this run is of `istiod`: leave --compromise out/],
  ] as const)
    assert.throws(
      () => readBaseline(path, { ...asked, ...(compromise === undefined ? {} : { compromise }) }),
      refused(message),
    );
  assert.ok(readBaseline(one, { ...asked, compromise: NAMED }).report);
});

function refused(message: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof BulwarkError && error.code === "BW_CLI_INPUT" && message.test(error.message);
}

test("files without a workload have no score: exit code 3, and --fail-on has something to compare with", async () => {
  const settings = join(folder, "settings.yaml");
  writeFileSync(settings, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: a}\n");
  const { code, stdout, stderr } = await bulwark(["blast", settings]);
  assert.deepEqual([code, stdout], [3, ""]);
  assert.match(stderr, /there is nothing to compute: the files have no workload besides Istio's own/);
  const options = { format: "text", semantics: "istio", witnesses: 0 } as const;
  await assert.rejects(
    runBlast([MESH], { ...options, failOn: "grown" }),
    refused(/compares with an earlier answer: give it by --baseline/),
  );
  await assert.rejects(
    runBlast([MESH], { ...options, baseline: whole, compare: ["sidecar", "ambient"] }),
    refused(/leave --compare out/),
  );
});

test("what cannot be told fails as well: pods that the files say too little of, now or in the baseline", async () => {
  const mesh = join(folder, "kafka.yaml");
  writeFileSync(
    mesh,
    `apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a, labels: {app: p}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: Kafka
metadata: {name: k, namespace: a}
spec: {}
`,
  );
  const file = join(folder, "kafka.json");
  writeFileSync(
    file,
    renderBlast(
      { answers: [await answerOf([mesh], { named: false })], semantics: "istio", unclear: ["too rich"] },
      "json",
    ),
  );
  const { code, stdout } = await bulwark(["blast", mesh, "--baseline", file, "--fail-on", "score"]);
  assert.equal(code, 2);
  assert.match(
    stdout,
    /nothing has grown or shrunk\ncannot be told: in the baseline: too rich\ncannot be told: Kafka a\/k makes pods of which the files say too little\n$/,
  );
});
