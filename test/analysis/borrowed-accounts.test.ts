import assert from "node:assert/strict";
import { test } from "node:test";
import { borrowedAccounts } from "../../src/analysis/diff/borrowed-accounts.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resource } from "../policy/inbound-fixture.ts";
import { pod } from "./tighten/tighten-fixture.ts";

function podOf(name: string, serviceAccountName: string): Resource {
  const body = { metadata: { labels: { app: name } }, spec: { serviceAccountName } };
  return resource("Pod", name, {}, { namespace: "shop", labels: { app: name }, body });
}

function letting(source: Record<string, unknown>): Resource {
  return resource(
    "AuthorizationPolicy",
    "orders",
    { rules: [{ from: [{ source }] }] },
    { namespace: "shop" },
  );
}

function told(before: readonly Resource[], added: readonly Resource[]): readonly string[] {
  const after = buildMesh([...before, ...added]);
  return borrowedAccounts(buildMesh(before), after).map(
    ({ resource: name, change, what }) => `${name} ${change}: ${what}`,
  );
}

const WEB = pod("shop", "web");

test("a new workload with the account of another is told: it may what that may", () => {
  assert.deepEqual(told([WEB], [podOf("attacker", "web")]), [
    "Pod shop/attacker added: what it reaches as cluster.local/ns/shop/sa/web, the identity of shop/web",
  ]);
});

test("a new workload whose account policies let in by name is told, and no other", () => {
  const said = [
    "Pod shop/batch added: what it reaches as cluster.local/ns/shop/sa/batch, whom policies name",
  ];
  const naming = [
    { principals: ["cluster.local/ns/shop/sa/batch"] },
    { principals: ["*/sa/batch"] },
    { principals: ["cluster.local/ns/shop/sa/ba*"] },
    { serviceAccounts: ["batch"] },
    { serviceAccounts: ["shop/batch"] },
  ];
  for (const source of naming)
    assert.deepEqual(told([WEB, letting(source)], [podOf("batch", "batch")]), said, JSON.stringify(source));
  const others = [
    { principals: ["cluster.local/ns/shop/sa/bat"] },
    { principals: ["cluster.local/*"] },
    { serviceAccounts: ["other/batch"] },
    { namespaces: ["shop"] },
  ];
  for (const source of others)
    assert.deepEqual(told([WEB, letting(source)], [podOf("batch", "batch")]), [], JSON.stringify(source));
});

test("workloads that were there are not new", () => {
  assert.deepEqual(told([WEB, podOf("second", "web")], []), []);
});
