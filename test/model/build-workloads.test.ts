import assert from "node:assert/strict";
import { test } from "node:test";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { perhapsGateways } from "../../src/model/gateway-role.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

type Json = Readonly<Record<string, unknown>>;

function resource(apiVersion: string, kind: string, metadata: Json, more: Json = {}): Resource {
  return resourceFromJson({ apiVersion, kind, metadata, ...more }, { file: "mesh.yaml", createdAt: 0 });
}

const template = (labels: Json = {}): Json => ({
  template: { metadata: { labels }, spec: { serviceAccountName: "app", containers: [{ name: "app" }] } },
});
const deployment = (name: string): Resource =>
  resource("apps/v1", "Deployment", { name }, { spec: template({ app: name }) });
const owned = (kind: string, name: string, apiVersion = "apps/v1"): Json => ({
  ownerReferences: [
    { apiVersion: "example.com/v1", kind: "Watcher", name: "w" },
    { apiVersion, kind, name, controller: true, uid: "u" },
  ],
});
const pod = (name: string, metadata: Json, podIP?: string, tlsMode?: string): Resource =>
  resource(
    "v1",
    "Pod",
    {
      name,
      ...metadata,
      labels: { app: "a", "security.istio.io/tlsMode": tlsMode, ...(metadata.labels as object | undefined) },
    },
    { spec: { serviceAccountName: "app" }, status: { podIP } },
  );

const keys = (mesh: Mesh): string[] => mesh.workloads.map(({ key, kind }) => `${kind} ${key}`).sort();

test("ReplicaSets and Pods are part of the Deployment that made them, which knows their addresses", () => {
  const mesh = buildMesh([
    deployment("a"),
    resource("apps/v1", "ReplicaSet", { name: "a-1", ...owned("Deployment", "a") }, { spec: template() }),
    pod("a-1-x", owned("ReplicaSet", "a-1"), "10.0.0.1", "istio"),
    pod("a-1-y", owned("ReplicaSet", "a-1"), "10.0.0.2", "istio"),
    pod("alone", {}, "10.0.0.3", "istio"),
  ]);
  assert.deepEqual(keys(mesh), ["Deployment default/a", "Pod default/alone"]);
  assert.deepEqual(mesh.workloads[0]?.addresses, ["10.0.0.1", "10.0.0.2"]);
  assert.equal(mesh.workloads[0]?.tlsMode, "istio");
});

test("one pod without a proxy means that not all of its Deployment has one", () => {
  const mesh = buildMesh([
    deployment("a"),
    pod(
      "a-5d9-x",
      { ...owned("ReplicaSet", "a-5d9"), labels: { "pod-template-hash": "5d9" } },
      "10.0.0.1",
      "istio",
    ),
    pod("a-5d9-y", { ...owned("ReplicaSet", "a-5d9"), labels: { "pod-template-hash": "5d9" } }, "10.0.0.2"),
  ]);
  assert.deepEqual(keys(mesh), ["Deployment default/a"]);
  assert.equal(mesh.workloads[0]?.tlsMode, "disabled");
});

test("Pods whose owner is absent, or of another group, are workloads of their own", () => {
  const mesh = buildMesh([
    pod("a-1-x", owned("ReplicaSet", "a-1")),
    pod("b-1", owned("StatefulSet", "b", "example.com/v1")),
    resource("apps/v1", "StatefulSet", { name: "c", namespace: "other" }, { spec: template() }),
    pod("c-0", owned("StatefulSet", "c")),
  ]);
  assert.deepEqual(keys(mesh), [
    "Pod default/a-1-x",
    "Pod default/b-1",
    "Pod default/c-0",
    "StatefulSet other/c",
  ]);
});

test("Jobs of a CronJob are part of it, and owners in a circle do no harm", () => {
  const mesh = buildMesh([
    resource("batch/v1", "CronJob", { name: "nightly" }, { spec: { jobTemplate: { spec: template() } } }),
    resource(
      "batch/v1",
      "Job",
      { name: "nightly-1", ...owned("CronJob", "nightly", "batch/v1") },
      { spec: template() },
    ),
    pod("nightly-1-x", owned("Job", "nightly-1", "batch/v1")),
    resource("apps/v1", "ReplicaSet", { name: "r", ...owned("Deployment", "d") }, { spec: template() }),
    resource("apps/v1", "Deployment", { name: "d", ...owned("ReplicaSet", "r") }, { spec: template() }),
  ]);
  assert.deepEqual(keys(mesh), ["CronJob default/nightly", "Deployment default/d", "ReplicaSet default/r"]);
  assert.equal(mesh.workloads.find(({ kind }) => kind === "CronJob")?.serviceAccount, "app");
});

test("workloads of one name keep unique keys; the name alone means the Deployment, in whatever order they stand", () => {
  const same = [
    pod("a", {}),
    deployment("a"),
    resource("networking.istio.io/v1", "WorkloadEntry", { name: "a" }, { spec: { address: "10.0.0.1" } }),
  ];
  for (const resources of [same, [...same].reverse()]) {
    assert.deepEqual(keys(buildMesh(resources)), [
      "Deployment default/a",
      "Pod default/a[Pod]",
      "WorkloadEntry default/a[WorkloadEntry]",
    ]);
  }
});

test("a kind of the same name in another group is no workload", () => {
  const mesh = buildMesh([
    resource("example.com/v1", "Deployment", { name: "a" }, { spec: template() }),
    resource("example.com/v1", "Pod", { name: "b" }),
    resource("example.com/v1", "WorkloadEntry", { name: "c" }),
    resource(
      "example.com/v1",
      "ServiceEntry",
      { name: "d" },
      { spec: { hosts: ["d"], ports: [{ protocol: {} }] } },
    ),
  ]);
  assert.deepEqual(mesh.workloads, []);
  assert.deepEqual(mesh.services, []);
});

test("MeshConfig is read in both spellings, from the usual namespace first, and empty texts are no settings", () => {
  const config = (namespace: string, mesh: string): Resource =>
    resource("v1", "ConfigMap", { name: "istio", namespace }, { data: { mesh } });
  const written = buildMesh([
    config("other", "trustDomain: other"),
    config(
      "istio-system",
      "trust_domain: td\ndefault_config: {gateway_topology: {num_trusted_proxies: 3}, proxyMetadata: {MY_KEY: a}}",
    ),
  ]).config;
  assert.equal(written.trustDomain, "td");
  assert.equal(written.numTrustedProxies, 3);
  assert.deepEqual(written.raw.defaultConfig, {
    gatewayTopology: { numTrustedProxies: 3 },
    proxyMetadata: { MY_KEY: "a" },
  });
  for (const text of ["", "# nothing\n", "~", "[]"]) {
    const { config: empty } = buildMesh([config("mesh-root", text)]);
    assert.equal(empty.rootNamespace, "mesh-root");
    assert.equal(empty.trustDomain, "cluster.local");
  }
});

/** A Deployment of one container, with ports of its own. */
function router(name: string, container: object, selected = true): Resource {
  const labels = { "sidecar.istio.io/inject": "false", ...(selected ? { istio: "ingressgateway" } : {}) };
  const containers = [{ image: "proxyv2", ports: [{ containerPort: 8443 }], ...container }];
  const template = { metadata: { labels }, spec: { containers } };
  return resource("apps/v1", "Deployment", { name }, { spec: { template } });
}

function rolesOf(resources: readonly Resource[]): readonly string[] {
  return buildMesh(resources).workloads.map(({ name, role, dataplane }) => `${name} ${role} ${dataplane}`);
}

test("a proxy that runs as a router is a gateway, with ports of its own and without an annotation; as a sidecar it is none", () => {
  const args = (part: string) => ["proxy", part, "--domain", "x"];
  const line = "exec /usr/local/bin/pilot-agent proxy router --log_output_level=info";
  assert.deepEqual(
    rolesOf([
      router("ingress", { name: "istio-proxy", args: args("router") }),
      router("own-name", { name: "edge", args: args("router") }),
      router("by-command", { name: "edge", command: ["/bin/pilot-agent", "proxy"], args: ["router"] }),
      router("by-shell", { name: "edge", command: ["sh", "-c"], args: [line] }),
      router("app", { name: "istio-proxy", args: args("sidecar") }),
      router("reverse", { name: "c", args: ["router", "proxy"] }),
    ]),
    [
      "ingress gateway sidecar",
      "own-name gateway sidecar",
      "by-command gateway sidecar",
      "by-shell gateway sidecar",
      "app application sidecar",
      "reverse application none",
    ],
  );
});

const GATEWAY = resource(
  "networking.istio.io/v1",
  "Gateway",
  { name: "gw" },
  { spec: { selector: { istio: "ingressgateway" } } },
);

test("a pod of nothing but a proxy that a Gateway selects is a gateway, unless it runs as a sidecar or nothing selects it", () => {
  assert.deepEqual(
    rolesOf([
      GATEWAY,
      router("bare", { name: "istio-proxy" }),
      router("aside", { name: "istio-proxy" }, false),
      router("app", { name: "istio-proxy", args: ["proxy", "sidecar"] }),
      router("other", { name: "c" }),
    ]),
    [
      "bare gateway sidecar",
      "aside application sidecar",
      "app application sidecar",
      "other application none",
    ],
  );
});

test("who may be a gateway all the same: pods with ports that a Gateway selects, but for routers and sidecars", () => {
  const mesh = buildMesh([
    GATEWAY,
    router("router", { name: "c", args: ["proxy", "router"] }),
    router("sidecar", { name: "c", args: ["proxy", "sidecar"] }),
    router("unsaid", { name: "c" }),
    router("aside", { name: "c" }, false),
  ]);
  assert.deepEqual(
    perhapsGateways(mesh).map(({ workload, gateways }) => [workload.name, gateways.map(({ name }) => name)]),
    [["unsaid", ["gw"]]],
  );
});
