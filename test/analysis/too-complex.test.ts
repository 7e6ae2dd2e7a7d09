import assert from "node:assert/strict";
import { test } from "node:test";
import { diffAccess } from "../../src/analysis/diff/diff-access.ts";
import { accessMap } from "../../src/analysis/map/access-map.ts";
import { NarrowerProofs } from "../../src/analysis/tighten/prove-narrower.ts";
import { invariantOf } from "../../src/analysis/verify/invariant.ts";
import { verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { authorization, meshConfig, meshOf, resource } from "../policy/inbound-fixture.ts";

/** One rule for each number. */
function rules(count: number, ruleAt: (at: number) => RuleSpec): readonly RuleSpec[] {
  return Array.from({ length: count }, (_, at) => ruleAt(at));
}

/** Made to be dear, each in another part of the analysis. */
const HOSTILE: Readonly<Record<string, { readonly rules: readonly RuleSpec[]; readonly why: RegExp }>> = {
  "claims in pairs": {
    rules: rules(30, (at) => ({
      when: [
        { key: "request.auth.claims[a]", values: [`a${at}`] },
        { key: "request.auth.claims[b]", values: [`b${at}`] },
      ],
    })),
    why: /more than \d+ distinctions \(claims \[[ab]\]\)/,
  },
  "many beginnings with many ends": {
    rules: rules(160, (at) => ({
      to: [{ operation: { paths: [`/p${at}/*`], notPaths: [`*.s${at}`, `*/q${at}`] } }],
    })),
    why: /overlap in too many ways \(paths\)/,
  },
  "namespaces with stars in their middle": {
    rules: [{ from: [{ source: { namespaces: Array.from({ length: 60 }, (_, at) => `n*${at}*m${at}`) } }] }],
    why: /overlap in too many ways \(identities\)/,
  },
};

const TOKENS = resource("RequestAuthentication", "tokens", {
  jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}' }],
});

function pod(name: string): Resource {
  const labels = { app: name };
  const spec = { serviceAccountName: name };
  return resource("Pod", name, {}, { labels, body: { metadata: { labels }, spec } });
}

function forPod(app: string, own: readonly RuleSpec[]): Resource {
  return authorization(app, { selector: { matchLabels: { app } }, rules: own });
}

const GET: RuleSpec = { to: [{ operation: { methods: ["GET"] } }] };
const POST: RuleSpec = { to: [{ operation: { methods: ["POST"] } }] };

function meshWith(hostile: readonly RuleSpec[], calm: readonly RuleSpec[]): Mesh {
  return meshOf(
    meshConfig("trustDomain: cluster.local\n"),
    TOKENS,
    resource("PeerAuthentication", "default", { mtls: { mode: "STRICT" } }),
    pod("calm"),
    forPod("httpbin", hostile),
    forPod("calm", calm),
  );
}

function never(rule: RuleSpec, mesh: Mesh, name = "one"): ReturnType<typeof invariantOf> {
  const own = resource("AccessInvariant", name, { never: [rule] });
  return invariantOf({ ...own, apiVersion: "bulwark.dev/v1" }, mesh);
}

for (const [name, { rules: hostile, why }] of Object.entries(HOSTILE)) {
  const mesh = meshWith(hostile, [GET]);

  test(`verify: ${name} are told to be too complex, with the policy, and never proven; the others are judged`, async () => {
    const invariants = [never(POST, mesh), never(GET, mesh, "two")];
    const { results } = await verifyAccess(mesh, invariants, { semantics: "istio" });
    for (const { outcome, findings, proven } of results) {
      assert.notEqual(outcome, "proven");
      assert.ok(!proven.includes("foo/httpbin"));
      const told = findings.find(({ isTooComplex }) => isTooComplex) ?? assert.fail("it is not told");
      assert.deepEqual([told.workloads, told.outcome], [["foo/httpbin"], "unclear"]);
      assert.match(told.why, why);
      assert.match(told.why, /AuthorizationPolicy foo\/httpbin/);
    }
  });

  test(`diff, map and tighten: ${name} are told to be too complex, and never no change; the others are judged`, () => {
    const changed = meshWith([...hostile.slice(1), POST], [GET, POST]);
    const { changes, notAnalysed } = diffAccess(mesh, changed, { semantics: "istio" });
    assert.deepEqual(
      notAnalysed.map(({ workloads, isTooComplex }) => [workloads, isTooComplex]),
      [[["foo/httpbin"], true]],
    );
    assert.match(notAnalysed[0]?.why ?? "", why);
    assert.deepEqual([...new Set(changes.flatMap(({ workloads }) => workloads))], ["foo/calm"]);

    const lines = [...accessMap(mesh, { semantics: "istio" })];
    const whys = (to: string) => lines.filter((line) => line.to.startsWith(to)).map((line) => line.why ?? "");
    assert.ok(whys("foo/httpbin").length > 0 && whys("foo/httpbin").every((text) => why.test(text)));
    assert.ok(whys("foo/calm").length > 0 && whys("foo/calm").every((text) => text === ""));

    const proofs = new NarrowerProofs(mesh, "istio");
    const proofOf = (key: string) =>
      proofs.of(mesh.workloads.find((own) => own.key === key) ?? assert.fail(key), changed);
    const proof = proofOf("foo/httpbin");
    assert.equal(proof?.kind, "unproven");
    assert.match(proof?.kind === "unproven" ? proof.why : "", why);
    assert.equal(proofOf("foo/calm")?.kind, "wider");
  });
}

test("an invariant that is too complex leaves the others proven", async () => {
  const mesh = meshWith([GET], [GET]);
  const dear = resource("AccessInvariant", "dear", {
    only: HOSTILE["namespaces with stars in their middle"]?.rules,
  });
  const invariants = [
    never(POST, mesh),
    invariantOf({ ...dear, apiVersion: "bulwark.dev/v1" }, mesh),
    never({ to: [{ operation: { methods: ["PUT"] } }] }, mesh, "two"),
  ];
  const { results } = await verifyAccess(mesh, invariants, { semantics: "istio" });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["proven", "unclear", "proven"],
  );
});

test("a policy of all workloads that is too complex is not tried at each of them", async () => {
  const names = Array.from({ length: 12 }, (_, at) => `own-${at}`);
  const hostile = HOSTILE["namespaces with stars in their middle"]?.rules ?? [];
  const mesh = meshOf(
    authorization("all", { rules: hostile }),
    ...names.flatMap((name, at) => [
      pod(name),
      forPod(name, [{ to: [{ operation: { ports: [String(at + 1)] } }] }]),
    ]),
  );
  const { results } = await verifyAccess(mesh, [never(POST, mesh)], { semantics: "istio" });
  const [result] = results;
  assert.equal(result?.outcome, "unclear");
  assert.equal(result?.findings.flatMap(({ workloads }) => workloads).length, names.length + 1);
  const untried = result?.findings.filter(({ why }) => why.endsWith("is not tried again")) ?? [];
  assert.ok(untried.length >= 6, `${untried.length} not tried`);
  assert.match(untried[0]?.why ?? "", /AuthorizationPolicy foo\/all was so for other workloads/);
});
