/** Names and addresses of a mesh, and what is compiled of it once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  authorizationCache,
  carryOver,
  compiledPolicies,
  findService,
  meshDirectory,
} from "../../../src/policy/path/compiled-policies.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import {
  barePodText,
  entryText,
  gatewayPodText,
  gatewayText,
  namespaceText,
  podText,
  resourceText,
  serviceText,
} from "./journey-text.ts";

function deployment(namespace: string, name: string): string {
  const pod = { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app", image: "app" }] } };
  return resourceText("apps/v1", "Deployment", namespace, name, { template: pod });
}

const host = (name: string, more: object): string =>
  entryText("a", name, {
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    resolution: "STATIC",
    ...more,
  });

describe("workloads by name and address", () => {
  const mesh = meshOf(
    [
      podText("a", "s", { ip: "10.0.0.1" }),
      deployment("a", "s"),
      podText("a", "late", { ip: "10.0.0.1" }),
      barePodText("a", "host", { ip: "10.0.0.9" }).replace('"containers"', '"hostNetwork":true,"containers"'),
      podText("b", "s", { ip: "10.0.0.2" }),
    ].join(""),
  );
  const { workloads, byAddress } = meshDirectory(mesh);

  test("every workload by its key, others of one name with their kind", () => {
    assert.deepEqual([...workloads.keys()].toSorted(), ["a/host", "a/late", "a/s", "a/s[Pod]", "b/s"]);
    for (const workload of mesh.workloads) assert.equal(workloads.get(workload.key), workload);
    assert.equal(workloads.get("a/s")?.kind, "Deployment");
  });

  test("of several at one address the first, and none on the network of its host", () => {
    const first = mesh.workloads.find(({ addresses }) => addresses.includes("10.0.0.1"));
    assert.equal(byAddress.get("10.0.0.1"), first);
    assert.deepEqual([...byAddress.keys()].toSorted(), ["10.0.0.1", "10.0.0.2"]);
  });
});

describe("services by name and address", () => {
  const mesh = meshOf(
    [
      host("early", { hosts: ["x.a.svc.cluster.local", "Twice.Example"], addresses: ["10.96.0.1"] }),
      serviceText("a", "x", { clusterIP: "10.96.0.1" }),
      host("late", { hosts: ["x.a.svc.cluster.local", "twice.example"], addresses: ["10.96.0.2"] }),
      serviceText("a", "y", { clusterIP: "10.96.0.2" }),
    ].join(""),
  );
  const directory = meshDirectory(mesh);
  const named = (name: string, namespace?: string): string | undefined => {
    const service = findService(directory, name, namespace);
    return service === undefined ? undefined : `${service.origin} ${service.namespace}/${service.name}`;
  };

  test("Kubernetes' own is before a ServiceEntry's of the same host, whichever came first", () => {
    const orders = [mesh.services, mesh.services.toReversed()];
    for (const services of orders) {
      const found = meshDirectory({ ...mesh, services }).services.get("x.a.svc.cluster.local");
      assert.deepEqual([found?.origin, found?.name], ["kubernetes", "x"]);
    }
  });

  test("of several ServiceEntries of one host the first, in lower case", () => {
    const own = mesh.services.filter(({ hostname }) => hostname.toLowerCase() === "twice.example");
    assert.equal(own.length, 2);
    assert.equal(directory.services.get("twice.example"), own[0]);
    assert.equal(directory.services.get("Twice.Example"), undefined);
  });

  test("of several with one address the first", () => {
    for (const address of ["10.96.0.1", "10.96.0.2"])
      assert.equal(
        directory.byVirtualAddress.get(address),
        mesh.services.find(({ addresses }) => addresses.includes(address)),
      );
    assert.deepEqual([...directory.byVirtualAddress.keys()].toSorted(), ["10.96.0.1", "10.96.0.2"]);
  });

  for (const [name, namespace, found] of [
    ["x.a.svc.cluster.local", undefined, "kubernetes a/x"],
    ["X.A.svc.cluster.local.", undefined, "kubernetes a/x"],
    ["x.a.svc", undefined, "kubernetes a/x"],
    ["x.a", undefined, "kubernetes a/x"],
    ["x.a", "b", "kubernetes a/x"],
    ["x", "a", "kubernetes a/x"],
    ["x", "b", undefined],
    ["x", undefined, undefined],
    ["x.a..", undefined, undefined],
    [".x.a", undefined, undefined],
    ["x.a.svc.cluster.local.x", undefined, undefined],
  ] as const)
    test(`${name} asked from ${namespace ?? "nowhere"} is ${found ?? "nobody"}`, () => {
      assert.equal(named(name, namespace), found);
    });
});

test("modes are those of applications", () => {
  const gateway =
    gatewayPodText("a", "g") +
    gatewayText("a", "g", {
      selector: { istio: "g" },
      servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
    });
  const ambient = namespaceText("m", { "istio.io/dataplane-mode": "ambient" }) + deployment("m", "s");
  assert.deepEqual([...meshDirectory(meshOf(gateway)).modes], []);
  assert.deepEqual([...meshDirectory(meshOf(gateway + ambient)).modes], ["ambient"]);
  assert.deepEqual(
    [...meshDirectory(meshOf(ambient + podText("a", "s") + barePodText("a", "b"))).modes].toSorted(),
    ["ambient", "none", "sidecar"],
  );
});

describe("what is compiled of a mesh", () => {
  const mesh = meshOf(podText("a", "s") + podText("a", "t"));
  const s = workloadOf(mesh, "a/s");

  test("once for each mesh, semantics and workload", () => {
    assert.equal(meshDirectory(mesh), meshDirectory(mesh));
    const policies = compiledPolicies(mesh, "istio");
    assert.equal(compiledPolicies(mesh, "istio"), policies);
    assert.notEqual(compiledPolicies(mesh, "strict"), policies);
    assert.equal(compiledPolicies(mesh, "istio"), policies, "asked for others meanwhile");
    for (const kind of ["inbound", "gateway", "ambient", "outbound"] as const)
      assert.equal(policies[kind](s), policies[kind](s), kind);
    const other = workloadOf(mesh, "a/t");
    assert.notEqual(policies.inbound(other), policies.inbound(s));
    assert.equal(policies.inbound(other).workload, other);
  });

  test("under the semantics that are asked for", () => {
    assert.equal(compiledPolicies(mesh, "strict").inbound(s).semantics, "strict");
    assert.equal(compiledPolicies(mesh, "istio").inbound(s).semantics, "istio");
  });

  test("of another mesh anew, but for what is taken over", () => {
    const next = meshOf(podText("a", "s"));
    assert.notEqual(meshDirectory(next), meshDirectory(mesh));
    assert.equal(authorizationCache(mesh), authorizationCache(mesh));
    assert.notEqual(authorizationCache(next), authorizationCache(mesh));
    const before = authorizationCache(next);
    carryOver(mesh, next);
    assert.notEqual(authorizationCache(next), before);
    assert.equal(authorizationCache(next), authorizationCache(next));
  });
});
