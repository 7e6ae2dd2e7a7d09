import assert from "node:assert/strict";
import { test } from "node:test";
import { accessWarning, changeLines } from "../../src/cli/render/change.ts";
import { type ConfigurationChange, configurationChange } from "../../src/control/configuration-change.ts";
import { emptiedFiles } from "../../src/control/emptied-files.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { loadTexts } from "../resources/load-fixture.ts";

const WORKLOADS = ["a", "b"]
  .map(
    (name) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {containers: [{name: c, image: x, ports: [{containerPort: 8080}]}]}
---
`,
  )
  .join("");
const object = (kind: string, name: string, spec: string, group = "security"): string =>
  `apiVersion: ${group}.istio.io/v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: shop}\nspec: ${spec}\n---\n`;
const policy = (name: string, action: string, rules: string, app = "a"): string =>
  object(
    "AuthorizationPolicy",
    name,
    `{selector: {matchLabels: {app: ${app}}}, action: ${action}, rules: ${rules}}`,
  );
const GET = "[{to: [{operation: {methods: [GET]}}]}]";
const GET_PUT = "[{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {methods: [PUT]}}]}]";

async function changeOf(before: string, after: string, workloads = WORKLOADS): Promise<ConfigurationChange> {
  const [old, now] = [await compared(WORKLOADS + before), await compared(workloads + after)];
  return configurationChange(old, now, { at: "2026-01-01T00:00:00Z", version: 2 });
}

async function compared(text: string) {
  const { resources, rejected } = await loadTexts({ "mesh.yaml": text });
  assert.deepEqual(rejected, []);
  return { resources, mesh: buildMesh(resources), files: ["mesh.yaml"] };
}

const grown = ({ accessGrowth }: ConfigurationChange): string[] =>
  accessGrowth.map(({ resource, why, workloads }) => `${resource}: ${why} (${workloads})`);

test("a change names what was added, changed and removed, with the lines where it stands or stood", async () => {
  const change = await changeOf(
    policy("one", "ALLOW", GET) + policy("two", "DENY", GET),
    policy("one", "ALLOW", GET_PUT) + policy("three", "DENY", GET),
  );
  const names = (list: readonly { resource: string; line: number }[]) =>
    list.map(({ resource, line }) => `${resource}:${line}`);
  assert.deepEqual(
    [names(change.added), names(change.changed), names(change.removed)],
    [
      ["AuthorizationPolicy shop/three:26"],
      ["AuthorizationPolicy shop/one:21"],
      ["AuthorizationPolicy shop/two:26"],
    ],
  );
});

test("the last ALLOW policy's removal opens its workload, and only its", async () => {
  const one = policy("one", "ALLOW", GET);
  assert.deepEqual(grown(await changeOf(one, "")), [
    "AuthorizationPolicy shop/one: no ALLOW policy is left: every caller that nothing denies may pass (shop/a)",
  ]);
  const two = policy("two", "ALLOW", GET_PUT);
  assert.deepEqual(grown(await changeOf(one + two, two)), [], "another ALLOW policy still holds it closed");
  assert.deepEqual(grown(await changeOf("", one)), [], "a first ALLOW policy closes");
});

test("a DENY policy that goes, refuses less, turns ALLOW or no longer selects widens; one that refuses more does not", async () => {
  const before = policy("one", "DENY", GET_PUT);
  const gone = "no longer holds: what it refused (DENY) may pass (shop/a)";
  for (const [after, why] of [
    ["", gone],
    [policy("one", "DENY", GET), "its rules may refuse less than before (DENY) (shop/a)"],
    [policy("one", "ALLOW", GET_PUT), gone],
    [policy("one", "DENY", GET_PUT, "b"), gone],
    [before.replace("namespace: shop}", 'namespace: shop, annotations: {istio.io/dry-run: "true"}}'), gone],
  ] as const)
    assert.deepEqual(grown(await changeOf(before, after)), [`AuthorizationPolicy shop/one: ${why}`]);
  assert.deepEqual(grown(await changeOf(policy("one", "DENY", GET), before)), []);
});

test("an ALLOW policy with other rules may allow more; one with fewer does not", async () => {
  const [fewer, more] = [policy("one", "ALLOW", GET), policy("one", "ALLOW", GET_PUT)];
  assert.deepEqual(grown(await changeOf(fewer, more)), [
    "AuthorizationPolicy shop/one: its rules may allow more than before (shop/a)",
  ]);
  assert.deepEqual(grown(await changeOf(more, fewer)), []);
});

test("a workload whose labels leave a policy, or that loses its proxy, is named", async () => {
  const one = policy("one", "DENY", GET);
  const relabelled = WORKLOADS.replace("labels: {app: a, ", "labels: {app: other, ");
  assert.match(
    grown(await changeOf(one, one, relabelled)).join(),
    /^AuthorizationPolicy shop\/one: no longer/,
  );
  const uncovered = WORKLOADS.replace('inject: "true"', 'inject: "false"');
  assert.deepEqual(grown(await changeOf(one, one, uncovered)), [
    "Deployment shop/a: no proxy of the mesh stands before it any more: no policy holds there (shop/a)",
  ]);
});

test("mutual TLS that weakens, by removal or by a new policy, is named with its modes; one that hardens is not", async () => {
  const strict = object("PeerAuthentication", "default", "{mtls: {mode: STRICT}}");
  const lax = object("PeerAuthentication", "a", "{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}}");
  const change = await changeOf(strict, "");
  assert.deepEqual(grown(change), [
    "PeerAuthentication shop/default: mutual TLS was STRICT and is PERMISSIVE: callers without an identity may come (shop/a,shop/b)",
  ]);
  assert.match(grown(await changeOf(strict, strict + lax)).join(), /was STRICT and is DISABLE.*\(shop\/a\)$/);
  assert.deepEqual(grown(await changeOf(lax, strict)), []);
});

test("a RequestAuthentication or a Sidecar that goes or changes is named; a narrower Sidecar is not", async () => {
  const jwt = (issuer: string) =>
    object("RequestAuthentication", "jwt", `{jwtRules: [{issuer: ${issuer}, jwks: '{"keys":[]}'}]}`);
  assert.match(
    grown(await changeOf(jwt("issuer-x"), "")).join(),
    /^RequestAuthentication shop\/jwt: no longer holds/,
  );
  assert.match(
    grown(await changeOf(jwt("issuer-x"), jwt("issuer-y"))).join(),
    /tokens are checked otherwise/,
  );
  assert.deepEqual(grown(await changeOf("", jwt("issuer-x"))), []);
  const sidecar = (hosts: string, mode = "REGISTRY_ONLY") =>
    object(
      "Sidecar",
      "s",
      `{egress: [{hosts: [${hosts}]}], outboundTrafficPolicy: {mode: ${mode}}}`,
      "networking",
    );
  const both = '"./*", "istio-system/*"';
  assert.match(
    grown(await changeOf(sidecar(both), "")).join(),
    /^Sidecar shop\/s: no Sidecar holds any more/,
  );
  assert.match(grown(await changeOf(sidecar('"./*"'), sidecar(both))).join(), /may reach more outward/);
  assert.match(
    grown(await changeOf(sidecar(both), sidecar(both, "ALLOW_ANY"))).join(),
    /may reach more outward/,
  );
  assert.deepEqual(grown(await changeOf(sidecar(both), sidecar('"./*"'))), []);
});

test("settings of the whole mesh that open it are named", async () => {
  const config = (mesh: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: '${mesh}'}\n---\n`;
  const closed = config("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
  assert.match(
    grown(await changeOf(closed, config("{rootNamespace: istio-system}"))).join(),
    /outboundTrafficPolicy/,
  );
  assert.match(
    grown(await changeOf(closed, closed.replace("}}", '}, trustDomainAliases: ["old"]}'))).join(),
    /identities of old/,
  );
});

test("a change is told by name, with a warning that names policy, why and workloads", async () => {
  const change = await changeOf(policy("one", "ALLOW", GET), "");
  assert.match(changeLines(change).join("\n"), /removed {2}AuthorizationPolicy shop\/one .*mesh\.yaml:21$/m);
  const warning = accessWarning(change, process.stdout) ?? "";
  for (const part of ["WARNING: access may have grown", "AuthorizationPolicy shop/one", "workloads: shop/a"])
    assert.ok(warning.includes(part), warning);
  assert.equal(accessWarning({ ...change, accessGrowth: [] }, process.stdout), undefined);
});

test("an empty file is an error when it held something, and none when it did not", async () => {
  const { resources, blankFiles } = await loadTexts({
    "mesh.yaml": WORKLOADS,
    "blank.yaml": " \n",
    "note.yaml": "# x\n",
  });
  const [blank] = blankFiles;
  assert.ok(blank !== undefined && blankFiles.length === 1);
  assert.deepEqual(emptiedFiles(resources, blankFiles), []);
  const [error] = emptiedFiles(resources, [resources[0]?.file ?? ""]);
  assert.equal(error?.code, "BW0904_FILE_EMPTIED");
  assert.match(error?.message ?? "", /Deployment shop\/a, Deployment shop\/b/);
});
