/** The cut: what is proposed, once applied as files, shrinks the radius to what was predicted; and the cheapest set is the cheapest. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type Change, changeYaml, lastOfEach } from "../../../src/analysis/blast/cut/change.ts";
import { minimumCut } from "../../../src/analysis/blast/cut/min-cut.ts";
import { proposeCut } from "../../../src/analysis/blast/cut/propose-cut.ts";
import { StepCounts } from "../../../src/analysis/blast/cut/step-counts.ts";
import { type StepEdge, StepGraph } from "../../../src/analysis/blast/cut/step-graph.ts";
import { componentsOfMesh } from "../../../src/analysis/blast/holdings.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { scoreOf, WEIGHTS } from "../../../src/analysis/blast/score.ts";
import { loadMesh } from "../../../src/index.ts";

const EXAMPLES = resolve(import.meta.dirname, "../../../examples");
const SEED = 20_261_122;

/** Writes the changes as the command does, and computes the radius of the mesh with them. */
async function countsWith(mesh: string, changes: readonly Change[], component: string) {
  const folder = mkdtempSync(join(tmpdir(), "bw-cut-"));
  try {
    for (const [at, change] of lastOfEach(changes).entries())
      writeFileSync(join(folder, `${String(at).padStart(2, "0")}.yaml`), changeYaml(change));
    const { mesh: changed, rejected } = await loadMesh([mesh, folder]);
    assert.deepEqual(rejected, []);
    return new BlastModel(changed, "istio").countsOf(component);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("every step of every cut, applied as files, comes to the counts that it predicts, and to fewer than before", async () => {
  for (const name of ["compromise", "ambient", "payroll"]) {
    const folder = resolve(EXAMPLES, name);
    const { mesh } = await loadMesh(folder);
    const { graph, total } = new BlastModel(mesh, "istio");
    let proposed = 0;
    // Every third, for the others are like them.
    for (const component of componentsOfMesh(graph).filter((_, at) => at % 3 === 0)) {
      const cut = await proposeCut(mesh, component, { semantics: "istio", steps: 2 });
      let { score } = cut.before;
      const changes: Change[] = [];
      for (const step of cut.steps) {
        changes.push(...step.changes);
        assert.deepEqual(
          await countsWith(folder, changes, component),
          step.counts,
          `${component}: ${changes.at(-1)?.title}`,
        );
        assert.ok(step.score < score && step.score === scoreOf(step.counts, total), component);
        score = step.score;
        proposed++;
      }
    }
    assert.ok(proposed > 0, name);
  }
});

test("no change takes more from the score than is said before its way is walked, and without any all stands as computed", async () => {
  const { mesh } = await loadMesh(resolve(EXAMPLES, "compromise"));
  const model = new BlastModel(mesh, "istio");
  let walked = 0;
  for (const component of componentsOfMesh(model.graph)) {
    const graph = new StepGraph(model, component);
    const counts = new StepCounts(graph, model);
    const mostLost = counts.mostLost(WEIGHTS);
    const now = counts.without([]);
    for (const change of graph.changes.values()) {
      const lost = scoreOf(now, 100) - scoreOf(counts.without([change]), 100);
      assert.ok(lost <= mostLost([change]) + 1e-9, `${component}: ${change.title}`);
      walked++;
    }
    assert.deepEqual(counts.without([]), now);
  }
  assert.ok(walked > 20);
});

async function stepsFor(yaml: string, component: string, steps = 6): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "bw-cut-"));
  try {
    writeFileSync(join(folder, "mesh.yaml"), yaml);
    const { mesh } = await loadMesh(folder);
    const cut = await proposeCut(mesh, component, { semantics: "istio", steps });
    return cut.steps.flatMap(({ changes }) => changes.map(({ title }) => title));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const POD = (namespace: string, name: string, spec = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, ${spec}containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---`;
const NAMESPACE = (name: string, labels = ""): string => `
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {istio-injection: enabled${labels}}}
---`;
const CALLERS = (namespace: string, name: string, callers: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {app: ${name}}}
  ${callers}
---`;
const FROM = (principal: string): string =>
  `rules: [{from: [{source: {principals: [cluster.local/ns/${principal}]}}]}]`;
const BIND = (role: string, namespace: string, account: string): string => `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, namespace: ${namespace}}
subjects: [{kind: ServiceAccount, name: ${account}, namespace: ${namespace}}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ${role}}
---`;
const OFF = "automountServiceAccountToken: false, ";

test("a mesh that lets in whoever shows no identity is made STRICT; whoever is let in by default is denied", async () => {
  const steps = await stepsFor(
    `${NAMESPACE("a")}${POD("a", "thief", OFF)}${POD("a", "open", OFF)}`,
    "workload/a/thief",
  );
  // One of the two by itself shrinks nothing: they are one step.
  assert.deepEqual(steps.toSorted(), [
    "AuthorizationPolicy for a/open: never cluster.local/ns/a/sa/thief",
    "PeerAuthentication for namespace a: STRICT",
  ]);
  const both = await stepsFor(
    `${NAMESPACE("a")}${POD("a", "thief", `${OFF}`)}${POD("a", "open", OFF)}${CALLERS("a", "open", "rules: [{from: [{source: {notPrincipals: [cluster.local/ns/a/sa/thief]}}]}]")}`,
    "workload/a/thief",
  );
  assert.deepEqual(both, ["PeerAuthentication for namespace a: STRICT"]);
  const denied = await stepsFor(
    `${NAMESPACE("a")}${POD("a", "thief", OFF)}${POD("a", "open", OFF)}
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: a}
spec: {mtls: {mode: STRICT}}
`,
    "workload/a/thief",
  );
  assert.deepEqual(denied, ["AuthorizationPolicy for a/open: never cluster.local/ns/a/sa/thief"]);
});

test("a token that nothing uses is not mounted; a right that leads on is taken from its role, or its account from the binding", async () => {
  const secret = "\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: a}\n---";
  const role = (verbs: string): string => `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: a}
rules: [{apiGroups: [""], resources: ["serviceaccounts/token", pods], verbs: [${verbs}]}]
---${BIND("Role, name: r", "a", "thief")}`;
  const mesh = `${NAMESPACE("a", ", pod-security.kubernetes.io/enforce: baseline")}${POD("a", "thief")}${POD("a", "victim", OFF)}${CALLERS("a", "victim", FROM("a/sa/nobody"))}${secret}`;
  const [first] = await stepsFor(`${mesh}${role("get, create")}`, "workload/a/thief", 1);
  assert.match(
    first ?? "",
    /^(Role a\/r: no create on (serviceaccounts\/token|pods)|Pod a\/thief: the account's token is not mounted)$/,
  );
  const star = await stepsFor(
    `${mesh}${role('"*"')}`.replace('"serviceaccounts/token", pods', '"serviceaccounts/token"'),
    "workload/a/thief",
    1,
  );
  assert.deepEqual(star, ["RoleBinding a/b: not for a/thief"]);
});

test("where privileged pods may be made, Pod Security keeps them out", async () => {
  const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: a}
rules: [{apiGroups: [apps], resources: [deployments], verbs: [create]}]
---${BIND("Role, name: r", "a", "thief")}`;
  const others = ["b", "c", "d", "e"]
    .map((name) => `${POD("b", name, OFF)}${CALLERS("b", name, FROM("b/sa/nobody"))}`)
    .join("");
  const steps = await stepsFor(
    `${NAMESPACE("a")}${NAMESPACE("b")}${POD("a", "thief")}${others}${role}`,
    "workload/a/thief",
    1,
  );
  assert.deepEqual(steps, ["Namespace a: no privileged pods (Pod Security `baseline`)"]);
});

test("a key that is good elsewhere than in its own pods is made worthless by a network policy", async () => {
  // thief may have a token of agent, whom vault lets in, by a group that others are in, too, and a token that it was given on purpose.
  const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: a}
rules: [{apiGroups: [""], resources: ["serviceaccounts/token"], resourceNames: [agent], verbs: ["*"]}]
---${BIND("Role, name: r", "a", "group")}`.replace(
    "kind: ServiceAccount, name: group, namespace: a",
    'kind: Group, name: "system:serviceaccounts:a"',
  );
  const token = "volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: token}}]}}], ";
  const mesh = `${NAMESPACE("a", ", pod-security.kubernetes.io/enforce: baseline")}${NAMESPACE("b")}${POD("a", "thief", `${OFF}${token}`)}${POD("a", "agent", OFF)}${CALLERS("a", "agent", FROM("a/sa/nobody"))}${CALLERS("a", "thief", FROM("a/sa/nobody"))}${POD("b", "vault", OFF)}${CALLERS("b", "vault", FROM("a/sa/agent"))}${role}`;
  assert.deepEqual(await stepsFor(mesh, "workload/a/thief"), [
    "NetworkPolicy for b/vault: from the pods of those whom its policies name",
  ]);
});

const GRAPH = fc.record({
  edges: fc.array(
    fc.record({
      from: fc.integer({ min: 0, max: 5 }),
      to: fc.integer({ min: 0, max: 5 }),
      /** Null: nothing removes the edge. Edges of one change have its weight. */
      change: fc.option(fc.integer({ min: 0, max: 8 }), { freq: 5 }),
    }),
    { minLength: 9, maxLength: 16 },
  ),
  weights: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 9, maxLength: 9 }),
});

test("the minimum cut separates, and no cheaper set of changes does, on random graphs in which a change cuts several edges", () => {
  fc.assert(
    fc.property(GRAPH, ({ edges: drawn, weights }) => {
      const edges = drawn
        .filter(({ from, to }) => from !== to)
        .map(({ from, to, change: at }): StepEdge => {
          const edge = { from: `n${from}`, to: `n${to}`, hop: 0 } as const;
          if (at === null) return edge;
          return {
            ...edge,
            change: { id: `c${at}`, weight: weights[at] ?? 1, title: "", takes: "", document: {} },
          };
        });
      const cut = minimumCut({ start: "n0", edges } as unknown as Parameters<typeof minimumCut>[0], "n5");
      const cheapest = cheapestBySearch(edges);
      assert.equal(cut === undefined ? undefined : weightOf(cut), cheapest);
      if (cut !== undefined) assert.ok(!isReached(edges, new Set(cut.map(({ id }) => id))));
    }),
    { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 150) },
  );
});

function weightOf(changes: readonly Change[]): number {
  return changes.reduce((sum, { weight }) => sum + weight, 0);
}

function cheapestBySearch(edges: readonly StepEdge[]): number | undefined {
  const known = edges.flatMap(({ change }) => (change === undefined ? [] : [[change.id, change] as const]));
  const changes = [...new Map(known).values()];
  let best: number | undefined;
  for (let mask = 0; mask < 1 << changes.length; mask++) {
    const chosen = changes.filter((_, at) => (mask & (1 << at)) !== 0);
    const weight = weightOf(chosen);
    if (best !== undefined && weight >= best) continue;
    if (!isReached(edges, new Set(chosen.map(({ id }) => id)))) best = weight;
  }
  return best;
}

function isReached(edges: readonly StepEdge[], removed: ReadonlySet<string>): boolean {
  const found = new Set(["n0"]);
  for (const id of found)
    for (const { from, to, change } of edges)
      if (from === id && (change === undefined || !removed.has(change.id))) found.add(to);
  return found.has("n5");
}
