import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cause } from "../../src/analysis/diff/causes.ts";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { loadTexts } from "../../src/resources/load.ts";

async function meshOf(...texts: readonly string[]): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text: texts.join("---\n") }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

const namespace = (labels = "istio-injection: enabled"): string => `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {${labels}}}
`;
const pods = (app: string, kind = "Deployment", more = ""): string => `apiVersion: apps/v1
kind: ${kind}
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: ${app}}}
  template:
    metadata: {labels: {app: ${app}${more}}}
    spec: {containers: [{name: orders, image: registry.example/orders:1, ports: [{containerPort: 8080}]}]}
`;
const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;
const policy = (
  name: string,
  app: string,
  rules = "[{}]",
  namespaceOf = "shop",
): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: ${namespaceOf}}
spec: {selector: {matchLabels: {app: ${app}}}, action: DENY, rules: ${rules}}
`;

async function causesOf(before: readonly string[], after: readonly string[]): Promise<readonly string[]> {
  const { changes } = await diffMesh(await meshOf(...before), await meshOf(...after), { semantics: "istio" });
  assert.ok(changes.length > 0);
  return [...new Set(changes.flatMap(({ causes }) => causes.map(textOf)))];
}

function textOf({ resource, change, what }: Cause): string {
  return `${resource} ${change}${what === undefined ? "" : `: ${what}`}`;
}

test("a policy that is the same in both meshes was not removed: the pod's labels were changed", async () => {
  const others = [namespace(), strict, policy("closed", "orders")];
  const sides = [
    [...others, pods("orders")],
    [...others, pods("other")],
  ] as const;
  assert.deepEqual(await causesOf(sides[0], sides[1]), [
    "Deployment shop/orders changed: AuthorizationPolicy shop/closed no longer selects it",
  ]);
  assert.deepEqual(await causesOf(sides[1], sides[0]), [
    "Deployment shop/orders changed: AuthorizationPolicy shop/closed now selects it",
  ]);
});

test("of several policies that a label brings and takes, all are named", async () => {
  const others = [
    namespace(),
    strict,
    policy("a", "orders"),
    policy("b", "orders"),
    policy("c", "other", '[{to: [{operation: {ports: ["8080"]}}]}]'),
  ];
  assert.deepEqual(await causesOf([...others, pods("orders")], [...others, pods("other")]), [
    "Deployment shop/orders changed: AuthorizationPolicy shop/a, AuthorizationPolicy shop/b no longer select it; AuthorizationPolicy shop/c now selects it",
  ]);
});

test("a policy with another selector was changed, and one that is in one mesh alone was added, or removed", async () => {
  const others = [namespace(), strict, pods("orders")];
  const [here, elsewhere] = [policy("closed", "orders"), policy("closed", "other")];
  assert.deepEqual(await causesOf([...others, here], [...others, elsewhere]), [
    "AuthorizationPolicy shop/closed changed: it no longer holds for the workload",
  ]);
  assert.deepEqual(await causesOf([...others, elsewhere], [...others, here]), [
    "AuthorizationPolicy shop/closed changed: it now holds for the workload",
  ]);
  assert.deepEqual(await causesOf([...others, here], others), ["AuthorizationPolicy shop/closed removed"]);
  assert.deepEqual(await causesOf(others, [...others, here]), ["AuthorizationPolicy shop/closed added"]);
});

test("of a workload that is new, gone or of another kind, that is the cause, and not what held for all along", async () => {
  const others = [namespace(), strict];
  assert.deepEqual(await causesOf(others, [...others, pods("orders")]), ["Deployment shop/orders added"]);
  assert.deepEqual(await causesOf([...others, pods("orders")], others), ["Deployment shop/orders removed"]);
  const closed = [...others, policy("closed", "orders")];
  assert.deepEqual(
    (await causesOf([...closed, pods("orders")], [...closed, pods("other", "StatefulSet")])).toSorted(),
    ["Deployment shop/orders removed", "StatefulSet shop/orders added"],
  );
});

test("where a workload lost its sidecar beside a policy, both are told", async () => {
  const before = [namespace(), strict, pods("orders"), policy("closed", "orders")];
  const after = [namespace(), strict, pods("orders", "Deployment", ', sidecar.istio.io/inject: "false"')];
  assert.deepEqual((await causesOf(before, after)).toSorted(), [
    "AuthorizationPolicy shop/closed removed",
    "Deployment shop/orders changed",
  ]);
});

const tokens = (name: string, app: string, keys: string): string => `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: ${name}, namespace: shop}
spec: {selector: {matchLabels: {app: ${app}}}, jwtRules: [{issuer: iss, jwksUri: "https://${keys}/keys"}]}
`;

test("a workload that comes under another RequestAuthentication with other keys for the same issuer is never passed in silence", async () => {
  const others = [
    namespace(),
    strict,
    tokens("a", "orders", "login.example"),
    tokens("b", "other", "evil.example"),
  ];
  const told = async (before: readonly string[], after: readonly string[]): Promise<readonly string[]> => {
    const { notCompared } = await diffMesh(await meshOf(...before), await meshOf(...after), {
      semantics: "istio",
    });
    return notCompared.map(textOf);
  };
  assert.deepEqual(await told([...others, pods("orders")], [...others, pods("other")]), [
    "Deployment shop/orders changed: RequestAuthentication shop/a no longer selects it; RequestAuthentication shop/b now selects it, and tokens of the same issuer are verified otherwise",
  ]);
  assert.deepEqual(await told([...others, pods("orders")], [...others, pods("other", "StatefulSet")]), [
    "StatefulSet shop/orders added: tokens of the same issuer are verified otherwise",
    "Deployment shop/orders removed: tokens of the same issuer are verified otherwise",
  ]);
  const alike = [
    namespace(),
    strict,
    tokens("a", "orders", "login.example"),
    tokens("b", "other", "login.example"),
  ];
  assert.deepEqual(await told([...alike, pods("orders")], [...alike, pods("other")]), []);
});
