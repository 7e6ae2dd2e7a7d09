import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointChanges } from "../../src/analysis/diff/endpoint-changes.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resource } from "../policy/inbound-fixture.ts";
import { pod } from "./tighten/tighten-fixture.ts";

function service(spec: Record<string, unknown>): Resource {
  const common = { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] };
  return resource("Service", "web", { ...common, ...spec }, { namespace: "shop" });
}

const PODS = [pod("shop", "web"), pod("shop", "admin")];

function told(before: readonly Resource[], after: readonly Resource[]): readonly string[] {
  return endpointChanges(buildMesh(before), buildMesh(after), new Set()).map(
    ({ resource: name, change, what }) => `${name} ${change}: ${what}`,
  );
}

const SAID = "Service shop/web changed: which pods, and which of their ports, it leads to";

test("a Service that leads to another port, or to other pods, is told, whichever text has changed", () => {
  const before = [...PODS, service({})];
  const another = { ports: [{ name: "http", port: 80, targetPort: 9000 }] };
  assert.deepEqual(told(before, [...PODS, service(another)]), [SAID]);
  assert.deepEqual(told(before, [...PODS, service({ selector: { app: "admin" } })]), [SAID]);
  const relabelled = [pod("shop", "web", { app: "other" }), pod("shop", "admin", { app: "web" })];
  assert.deepEqual(told(before, [...relabelled, service({})]), [SAID]);
});

test("what leads where it led is no change: other text, a port more, workloads that are new or gone", () => {
  const before = [...PODS, service({})];
  assert.deepEqual(told(before, [...PODS, service({})]), []);
  assert.deepEqual(told(before, [...PODS, service({ selector: { app: "web" }, type: "ClusterIP" })]), []);
  assert.deepEqual(told(before, [PODS[1] ?? assert.fail(), service({})]), []);
  assert.deepEqual(told(before, [...PODS, pod("shop", "web-2", { app: "web" }), service({})]), []);
});

test("what a client's change tells of all of its ports is not told again", () => {
  const [before, after] = [
    [...PODS, service({})],
    [...PODS, service({ selector: { app: "admin" } })],
  ].map((resources) => buildMesh(resources));
  if (before === undefined || after === undefined) assert.fail();
  const host = "web.shop.svc.cluster.local";
  assert.equal(endpointChanges(before, after, new Set([`${host}:81`])).length, 1);
  assert.deepEqual(endpointChanges(before, after, new Set([`${host}:80`])), []);
});
