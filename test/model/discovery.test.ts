/** Which namespaces `discoverySelectors` leave out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { admitPods } from "../../src/model/admit-pods.ts";
import { undiscoveredNamespaces } from "../../src/model/discovery.ts";
import { loadText } from "../resources/load-fixture.ts";

const NAMESPACES = new Map(
  Object.entries({ a: { env: "prod", tier: "1" }, b: { env: "test" }, c: {} }).map(([name, labels]) => [
    name,
    { name, labels: labels as Readonly<Record<string, string>> },
  ]),
);
const left = (...selectors: readonly unknown[]): string =>
  [...undiscoveredNamespaces(selectors, NAMESPACES)].join("");
const by = (key: string, operator: string, values?: readonly string[]) => ({
  matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }],
});

test("without selectors every namespace is discovered, and an empty selector selects all", () => {
  assert.equal(left(), "");
  assert.equal(left({}), "");
  assert.equal(left({ matchLabels: { env: "prod" } }, {}), "");
});

test("a namespace is discovered by any one selector, with all its labels and expressions", () => {
  assert.equal(left({ matchLabels: { env: "prod" } }), "bc");
  assert.equal(left({ matchLabels: { env: "prod" } }, { matchLabels: { env: "test" } }), "c");
  assert.equal(left({ matchLabels: { env: "prod", tier: "2" } }), "abc");
  assert.equal(left({ matchLabels: { env: "prod" }, ...by("tier", "DoesNotExist") }), "abc");
});

test("operators: In, NotIn (which those without the label meet), Exists, DoesNotExist", () => {
  assert.equal(left(by("env", "In", ["prod", "test"])), "c");
  assert.equal(left(by("env", "NotIn", ["prod"])), "a");
  assert.equal(left(by("env", "Exists")), "c");
  assert.equal(left(by("env", "DoesNotExist")), "ab");
});

test("one invalid selector voids them all, as in istiod: every namespace is discovered", () => {
  for (const wrong of [by("env", "Is", ["x"]), by("env", "In"), by("env", "Exists", ["x"]), by("", "Exists")])
    assert.equal(left({ matchLabels: { env: "prod" } }, wrong), "");
});

test("security policies that selectors leave out are warned of, mesh-wide ones too: the root namespace is no exception", async () => {
  const { resources } = await loadText(`
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "discoverySelectors: [{matchLabels: {seen: yes}}]"}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`);
  const [warning] = admitPods(resources).warnings;
  assert.equal(warning?.code, "BW1513_NOT_DISCOVERED");
  assert.match(warning?.message ?? "", /root namespace/);
});
