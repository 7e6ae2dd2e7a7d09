/** The clusters of one client. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { createProxyView, type ProxyView } from "../../../src/policy/outbound/proxy-view.ts";
import { buildSidecarScope, selectSidecar } from "../../../src/policy/outbound/sidecar-scope.ts";
import type { ClusterPlan } from "../../../src/policy/outbound/types.ts";
import { meshOfObjects, written } from "./objects.ts";

const WEB = "web.foo.svc.cluster.local";
const SERVICES = [
  written("Service", "foo/web", {
    ports: [
      { port: 80, name: "http" },
      { port: 90, name: "tcp" },
      { port: 53, name: "dns", protocol: "UDP" },
    ],
  }),
  written("Service", "foo/bare", { ports: [{ port: 80, name: "http" }] }),
  written("Service", "foo/alias", { type: "ExternalName", externalName: WEB, ports: [{ port: 80 }] }),
  written("DestinationRule", "foo/own", { host: WEB, subsets: [{ name: "v1" }, { name: "v2" }] }),
];

function viewOf(
  mesh: Mesh,
  namespace = "bar",
  labels: Record<string, string> = {},
  forGateway = false,
): ProxyView {
  const index = meshIndex(mesh);
  const scope = buildSidecarScope(index, namespace, selectSidecar(mesh, namespace, labels));
  return createProxyView(index, scope, namespace, labels, forGateway);
}

function planOf(view: ProxyView): ClusterPlan {
  return view.cluster(WEB, 80, "") ?? assert.fail();
}

describe("a view", () => {
  const mesh = meshOfObjects(...SERVICES);
  const view = viewOf(mesh);

  test("has a cluster for each port and subset of each service, none for UDP and aliases", () => {
    const names = ["", "v1", "v2"].flatMap((subset) =>
      [80, 90].map((port) => `outbound|${port}|${subset}|${WEB}`),
    );
    assert.deepEqual(
      [...view.clusters().keys()].sort(),
      ["outbound|80||bare.foo.svc.cluster.local", ...names].sort(),
    );
    for (const [name, plan] of view.clusters()) {
      assert.equal(plan.name, name);
      assert.equal(view.cluster(plan.host, plan.port, plan.subset), plan);
    }
  });

  test("has no cluster for another host, port or subset", () => {
    assert.equal(view.cluster("absent", 80, ""), undefined);
    assert.equal(view.cluster(WEB, 81, ""), undefined);
    assert.equal(view.cluster(WEB, 80, "v3"), undefined);
    assert.equal(view.cluster(WEB, 53, ""), undefined);
    assert.equal(view.service(WEB)?.hostname, WEB);
    assert.equal(view.service("absent"), undefined);
  });

  test("says whose it is", () => {
    const labels = { app: "client" };
    const { namespace, labels: own, forGateway, index, scope } = viewOf(mesh, "bar", labels, true);
    assert.deepEqual({ namespace, own, forGateway }, { namespace: "bar", own: labels, forGateway: true });
    assert.equal(index, meshIndex(mesh));
    assert.equal(scope.namespace, "bar");
  });
});

describe("plans", () => {
  test("are shared by clients that see them alike, and by those alone", () => {
    const rule = written("DestinationRule", "baz/own", {
      host: WEB,
      trafficPolicy: { tls: { mode: "DISABLE" } },
    });
    const selecting = written("DestinationRule", "bar/some", {
      host: WEB,
      workloadSelector: { matchLabels: { app: "client" } },
      trafficPolicy: { tls: { mode: "SIMPLE" } },
    });
    const mesh = meshOfObjects(...SERVICES, rule, selecting);
    const plan = planOf(viewOf(mesh, "qux"));
    assert.equal(planOf(viewOf(mesh, "qux")), plan);
    assert.equal(planOf(viewOf(mesh, "quux")), plan);
    assert.equal(planOf(viewOf(mesh, "quux", { app: "client" })), plan);
    assert.deepEqual(plan.destinationRules, ["DestinationRule foo/own"]);
    assert.notEqual(planOf(viewOf(mesh, "qux", {}, true)), plan, "gateways have clusters of their own");
    assert.equal(planOf(viewOf(mesh, "qux", {}, true)), planOf(viewOf(mesh, "quux", {}, true)));
    assert.deepEqual(
      planOf(viewOf(mesh, "bar")).destinationRules,
      [],
      "a namespace's own rules hide others, whom they select or not",
    );
    assert.deepEqual(planOf(viewOf(mesh, "baz")).destinationRules, ["DestinationRule baz/own"]);
    assert.deepEqual(planOf(viewOf(mesh, "bar", { app: "client" })).destinationRules, [
      "DestinationRule bar/some",
    ]);
    assert.notEqual(planOf(viewOf(meshOfObjects(...SERVICES))), plan);
  });
});
