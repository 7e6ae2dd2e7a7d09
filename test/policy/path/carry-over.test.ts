import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { can, loadMesh, type Mesh } from "../../../src/index.ts";
import { authorizationCache } from "../../../src/policy/path/compiled-policies.ts";
import { workloadText } from "./mesh-text.ts";

const folder = mkdtempSync(join(tmpdir(), "carry-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const NAMES = ["a", "b", "c", "d"];

function policy(name: string, spec: string, annotations = "{}"): string {
  return `---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: default, annotations: ${annotations}}\nspec: ${spec}\n`;
}

function own(name: string, path: string): string {
  return policy(
    name,
    `{selector: {matchLabels: {app: ${name}}}, rules: [{to: [{operation: {paths: ["${path}"]}}]}]}`,
  );
}

function provider(service: string): string {
  return `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: "extensionProviders: [{name: p, envoyExtAuthzGrpc: {service: ${service}.default.svc.cluster.local, port: 9000}}]"}\n`;
}

async function load(previous: Mesh | undefined, ...texts: readonly string[]): Promise<Mesh> {
  const file = join(folder, "mesh.yaml");
  writeFileSync(file, [...NAMES.map((name) => workloadText({ name })), ...texts].join("\n"));
  const { mesh, rejected } = await loadMesh(file, previous === undefined ? {} : { previous });
  assert.deepEqual(rejected, []);
  return mesh;
}

/** Whether GET /p is allowed at each workload. */
async function answers(mesh: Mesh, path = "/p"): Promise<readonly (boolean | string)[]> {
  const decisions = await can(
    mesh,
    NAMES.map((name) => ({
      from: { workload: "default/a" },
      to: { workload: `default/${name}`, port: 8080 },
      path,
    })),
  );
  return decisions.map(({ allowed, reason }) => (reason === "unknown" ? reason : allowed));
}

/** Compiled since the cache was made; each workload has one authorization for HTTP and one for TCP, under each semantics. */
async function compiledBy(mesh: Mesh): Promise<number> {
  await answers(mesh);
  return authorizationCache(mesh).compiled / 4;
}

const POLICIES = NAMES.map((name) => own(name, "/p"));

test("of a mesh read again only what a changed policy selects is compiled again", async () => {
  const first = await load(undefined, ...POLICIES);
  assert.equal(await compiledBy(first), 4);
  const same = await load(first, ...POLICIES);
  assert.deepEqual([await compiledBy(same), await answers(same)], [0, [true, true, true, true]]);
  const changed = await load(same, ...POLICIES.slice(0, 3), own("d", "/q"));
  assert.deepEqual([await compiledBy(changed), await answers(changed)], [1, [true, true, true, false]]);
  const denied = await load(changed, ...POLICIES, policy("all", "{}"), own("d", "/q"));
  assert.equal(await compiledBy(denied), 4, "a policy for the namespace is everybody's");
});

test("a policy that is gone, renamed or only tried from now on no longer decides", async () => {
  const first = await load(undefined, ...POLICIES);
  assert.deepEqual(await answers(first, "/x"), [false, false, false, false]);
  const dryRun = POLICIES.map((text) =>
    text.replace("annotations: {}", 'annotations: {istio.io/dry-run: "true"}'),
  );
  assert.deepEqual(await answers(await load(first, ...dryRun), "/x"), [true, true, true, true]);
  assert.deepEqual(await answers(await load(first), "/x"), [true, true, true, true]);
  const renamed = await load(first, ...POLICIES.map((text) => text.replace("name: a,", "name: z,")));
  const [decision] = await can(renamed, [{ to: { workload: "default/a", port: 8080 }, path: "/p" }]);
  assert.equal(decision?.policy, "AuthorizationPolicy default/z");
});

test("a provider that is no longer there is noticed, although the policy that names it is the same", async () => {
  const custom = policy("ask", "{action: CUSTOM, provider: {name: p}, rules: [{}]}");
  const first = await load(undefined, custom, provider("b"));
  assert.deepEqual(await answers(first), ["unknown", "unknown", "unknown", "unknown"]);
  assert.deepEqual(await answers(await load(first, custom, provider("nobody"))), [
    false,
    false,
    false,
    false,
  ]);
});

test("workloads that the same policies select share what is compiled", async () => {
  assert.equal(await compiledBy(await load(undefined, policy("all", "{rules: [{}]}"))), 1);
});
