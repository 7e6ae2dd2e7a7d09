import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { bulwark } from "./run-bulwark.ts";

const MESH = resolve(import.meta.dirname, "../../examples/compromise");
const folder = mkdtempSync(join(tmpdir(), "bw-blast-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Counted {
  readonly counts: { readonly controlled: number; readonly reached: number; readonly further: number };
}

interface Answer {
  readonly overview?: {
    readonly meshScore: number;
    readonly components: readonly { readonly component: string; readonly score: number }[];
  };
  readonly report?: Counted & {
    readonly component: string;
    readonly reaches: readonly { readonly to: string; readonly witness?: object }[];
  };
  readonly cut?: { readonly steps: readonly Counted[] };
}

async function json(...args: readonly string[]): Promise<Answer> {
  const { code, stdout, stderr } = await bulwark(["blast", ...args, "--format", "json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Answer;
}

test("blast lists every component with its score, the worst first, and the mesh's", async () => {
  const { code, stdout } = await bulwark(["blast", MESH]);
  assert.equal(code, 0);
  assert.match(stdout, /^COMPONENT +SCORE +CONTROLS +REACHES +FURTHER\napiserver +100\.00/);
  assert.match(stdout, /score of the mesh: \d+\.\d\d of 100/);
  const { overview } = await json(MESH);
  const scores = overview?.components.map(({ score }) => score) ?? [];
  assert.deepEqual(
    scores,
    scores.toSorted((a, b) => b - a),
  );
  assert.ok(overview?.components.some(({ component }) => component === "ztunnel/n1"));
});

test("requests that blast shows are what `can --requests` takes, and lets through", async () => {
  const { report } = await json(MESH, "--compromise", "workload/team-a/app-a");
  const requests = report?.reaches.flatMap(({ witness }) => (witness === undefined ? [] : [witness])) ?? [];
  assert.ok(requests.length > 0);
  const file = join(folder, "requests.json");
  writeFileSync(file, JSON.stringify({ requests }));
  const { code, stderr } = await bulwark(["can", "--mesh", MESH, "--requests", file]);
  assert.equal(code, 0, stderr);
});

test("a leaked key is named with or without its scheme, and counts as used from anywhere", async () => {
  const id = "cluster.local/ns/team-a/sa/app-b";
  const [plain, whole] = [
    await json(MESH, "--compromise", `key/${id}`),
    await json(MESH, "--compromise", `key/spiffe://${id}`),
  ];
  assert.deepEqual(plain, whole);
  assert.ok(plain.report?.reaches.some(({ to }) => to === "ops/vault"));
});

test("what is no component, and options that do not go together, are refused with exit code 3", async () => {
  for (const [args, message] of [
    [
      ["--compromise", "workload/team-a/app-c"],
      /there is no component `workload\/team-a\/app-c`.*workload\/team-a\/app-/,
    ],
    [["--compromise", "key/app-a"], /is no key: write key\//],
    [["--compromise", "key/cluster.local/ns/A/sa/b"], /is no key: write key\//],
    [["--compromise", "spiffe://cluster.local/ns/a/sa/b"], /is no key: write key\//],
    [["--compromise", "token/a"], /is no token: write token\//],
    [["--cut"], /--cut is for one component/],
    [["--compromise", "istiod", "--out", join(folder, "none")], /--out writes the changes of --cut/],
  ] as const) {
    const { code, stderr } = await bulwark(["blast", MESH, ...args]);
    assert.deepEqual([code, message.test(stderr)], [3, true], `${args.join(" ")}: ${stderr}`);
  }
  const broken = join(folder, "broken.yaml");
  writeFileSync(
    broken,
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: a}\nspec: {action: PERHAPS}\n",
  );
  const { code, stderr } = await bulwark(["blast", MESH, broken]);
  assert.equal(code, 3, stderr);
  assert.match(stderr, /nothing was computed/);
});

test("the cut's files, given with the mesh, come to the counts that it told; a folder with something in it is not written to", async () => {
  const out = join(folder, "changes");
  const args = ["--compromise", "workload/ops/deployer"];
  const { cut } = await json(MESH, ...args, "--cut", "2", "--out", out);
  assert.ok(existsSync(out) && readdirSync(out).length > 0);
  const { report } = await json(MESH, out, ...args);
  assert.deepEqual(report?.counts, cut?.steps.at(-1)?.counts);
  const again = await bulwark(["blast", MESH, ...args, "--cut", "--out", out]);
  assert.deepEqual([again.code, /is not empty/.test(again.stderr)], [3, true]);
});

test("both modes are shown side by side: a key that an ambient pod does not have, a sidecar's has", async () => {
  const { code, stdout } = await bulwark([
    "blast",
    MESH,
    "--compromise",
    "workload/shop/web",
    "--compare",
    "sidecar,ambient",
  ]);
  assert.equal(code, 0);
  const [sidecar = "", ambient = ""] = stdout.split("In ambient mode");
  assert.match(sidecar, /^Behind sidecars\n[\s\S]*keys +cluster\.local\/ns\/shop\/sa\/web\n/);
  assert.match(ambient, /keys +none\n/);
  const whole = await bulwark(["blast", MESH, "--compare", "sidecar,ambient"]);
  assert.match(whole.stdout, /score of the mesh: sidecar \d+\.\d\d, ambient \d+\.\d\d/);
});

test("blast --format markdown and dot print what a pull request and Graphviz take", async () => {
  for (const [format, start] of [
    ["markdown", /^## What a compromise costs\n/],
    ["dot", /^digraph blast \{\n[\s\S]* {2}n0 -> n1 \[tooltip=/],
  ] as const) {
    const { code, stdout } = await bulwark([
      "blast",
      MESH,
      "--compromise",
      "workload/team-a/app-a",
      "--format",
      format,
    ]);
    assert.equal(code, 0);
    assert.match(stdout, start);
  }
});
