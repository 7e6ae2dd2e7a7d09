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

function told(
  before: readonly Resource[],
  after: readonly Resource[],
  already: readonly string[] = [],
): readonly string[] {
  return endpointChanges(buildMesh(before), buildMesh(after), new Set(already)).map(
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
  const which = "changed: which pods, and which of their ports, Service shop/web leads to";
  assert.deepEqual(told(before, [...relabelled, service({})]).toSorted(), [
    `Pod shop/admin ${which}`,
    `Pod shop/web ${which}`,
  ]);
});

test("what leads where it led is no change: other text, a port more, workloads that are new or gone", () => {
  const before = [...PODS, service({})];
  assert.deepEqual(told(before, [...PODS, service({})]), []);
  assert.deepEqual(told(before, [...PODS, service({ selector: { app: "web" }, type: "ClusterIP" })]), []);
  assert.deepEqual(told(before, [PODS[1] ?? assert.fail(), service({})]), []);
  assert.deepEqual(told(before, [...PODS, pod("shop", "web-2", { app: "web" }), service({})]), []);
});

test("what clients are told of a Service that led nowhere is all; of one that leads elsewhere it is not", () => {
  const [web, admin, nobody] = ["web", "admin", "nobody"].map((app) => [
    ...PODS,
    service({ selector: { app } }),
  ]);
  const port = "web.shop.svc.cluster.local:80";
  assert.deepEqual(told(nobody ?? [], web ?? [], [port]), []);
  assert.deepEqual(told(nobody ?? [], web ?? [], ["web.shop.svc.cluster.local:81"]), [SAID]);
  assert.deepEqual(told(web ?? [], nobody ?? [], [port]), []);
  assert.deepEqual(told(web ?? [], admin ?? [], [port]), [SAID]);
});

function rule(labels: Record<string, string>, host = "web"): Resource {
  const spec = { host, subsets: [{ name: "v1", labels }] };
  const made = resource("DestinationRule", "web", spec, { namespace: "shop" });
  return { ...made, apiVersion: "networking.istio.io/v1" };
}

test("a subset that is other pods is told: by its own labels, by a wildcard's, by the pods' labels; the Service's change once", () => {
  const versions = (one: string, two: string) => [
    pod("shop", "web", { app: "web", version: one }),
    pod("shop", "next", { app: "web", version: two }),
  ];
  for (const host of ["web", "web.shop.svc.cluster.local", "*.shop.svc.cluster.local"]) {
    const before = [...versions("v1", "v2"), service({}), rule({ version: "v1" }, host)];
    const said = "DestinationRule shop/web changed: which pods its subset `v1` is";
    assert.deepEqual(told(before, [...versions("v1", "v2"), service({}), rule({ version: "v2" }, host)]), [
      said,
    ]);
    const swapped = told(before, [...versions("v2", "v1"), service({}), rule({ version: "v1" }, host)]);
    const which = "changed: which pods subset `v1` of DestinationRule shop/web is";
    assert.deepEqual(swapped.toSorted(), [`Pod shop/next ${which}`, `Pod shop/web ${which}`]);
    assert.deepEqual(told(before, before), []);
    const elsewhere = told(before, [
      ...versions("v1", "v2"),
      service({ selector: { app: "web", version: "v2" } }),
      rule({ version: "v1" }, host),
    ]);
    assert.deepEqual(elsewhere, [SAID]);
  }
});
