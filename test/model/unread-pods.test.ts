import assert from "node:assert/strict";
import { test } from "node:test";
import { admitPods } from "../../src/model/admit-pods.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { mayHaveLabels, unreadPods } from "../../src/model/unread-pods.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

type Json = Readonly<Record<string, unknown>>;

function made(apiVersion: string, kind: string, name: string, spec: Json, metadata: Json = {}): Resource {
  const body = { apiVersion, kind, metadata: { name, namespace: "shop", ...metadata }, spec };
  return resourceFromJson(body, { file: "mesh.yaml", createdAt: 0 });
}

function template(labels: Json = { app: "orders" }): Json {
  const containers = [{ name: "c", image: "i", ports: [{ containerPort: 8080 }] }];
  return { metadata: { labels }, spec: { serviceAccountName: "orders", containers } };
}

function owner(apiVersion: string, kind: string, name: string): Json {
  return { ownerReferences: [{ apiVersion, kind, name, controller: true, uid: "u" }] };
}

function unread(...resources: readonly Resource[]): readonly string[] {
  return unreadPods(resources).map(({ name }) => name);
}

function keys(...resources: readonly Resource[]): readonly string[] {
  return buildMesh(resources).workloads.map(({ kind, key }) => `${kind} ${key}`);
}

const ROLLOUT = (spec: Json): Resource => made("argoproj.io/v1alpha1", "Rollout", "orders", spec);

test("an Argo Rollout, OpenKruise's kinds and a DeploymentConfig are workloads, with their template's labels and account", () => {
  const own = [
    ROLLOUT({ replicas: 3, template: template() }),
    made("apps.kruise.io/v1alpha1", "CloneSet", "a", { template: template() }),
    made("apps.kruise.io/v1beta1", "StatefulSet", "b", { template: template() }),
    made("apps.kruise.io/v1alpha1", "DaemonSet", "c", { template: template() }),
    made("apps.openshift.io/v1", "DeploymentConfig", "d", { template: template() }),
  ];
  const [rollout, ...others] = buildMesh(own).workloads;
  assert.deepEqual(
    [rollout?.kind, rollout?.key, rollout?.labels, rollout?.replicas, rollout?.spiffeId],
    ["Rollout", "shop/orders", { app: "orders" }, 3, "spiffe://cluster.local/ns/shop/sa/orders"],
  );
  assert.deepEqual(
    others.map(({ kind, key }) => `${kind} ${key}`),
    ["CloneSet shop/a", "StatefulSet shop/b", "DaemonSet shop/c", "DeploymentConfig shop/d"],
  );
  assert.deepEqual(unread(...own), []);
  assert.deepEqual(keys(made("example.com/v1", "Rollout", "x", { template: template() })), []);
});

test("what a Rollout has made is part of it, also where no file has its ReplicaSet", () => {
  const set = made(
    "apps/v1",
    "ReplicaSet",
    "orders-1f",
    { template: template() },
    owner("argoproj.io/v1alpha1", "Rollout", "orders"),
  );
  const pod = made("v1", "Pod", "orders-1f-x", template().spec as Json, {
    labels: { "rollouts-pod-template-hash": "1f" },
    ...owner("apps/v1", "ReplicaSet", "orders-1f"),
  });
  const rollout = ROLLOUT({ template: template() });
  assert.deepEqual(keys(rollout, set, pod), ["Rollout shop/orders"]);
  assert.deepEqual(keys(rollout, pod), ["Rollout shop/orders"]);
  assert.deepEqual(keys(pod), ["Pod shop/orders-1f-x"]);
});

test("a Rollout whose template is a Deployment's is that; whose pods have labels for a time, or whose template no file has, is not read", () => {
  const workloadRef = { apiVersion: "apps/v1", kind: "Deployment", name: "orders" };
  const deployment = made("apps/v1", "Deployment", "orders", { template: template() });
  const pod = made(
    "v1",
    "Pod",
    "p",
    template().spec as Json,
    owner("argoproj.io/v1alpha1", "Rollout", "orders"),
  );
  assert.deepEqual(keys(ROLLOUT({ workloadRef }), deployment), ["Deployment shop/orders"]);
  assert.deepEqual(keys(ROLLOUT({ workloadRef }), pod), ["Pod shop/p"]);
  assert.deepEqual(unread(ROLLOUT({ workloadRef }), deployment), []);
  assert.deepEqual(unread(ROLLOUT({ workloadRef })), ["Rollout shop/orders"]);
  const passing = (strategy: Json): Resource => ROLLOUT({ template: template(), strategy });
  assert.deepEqual(unread(passing({ canary: { steps: [] } })), []);
  for (const strategy of [
    { canary: { canaryMetadata: { labels: { role: "canary" } } } },
    { blueGreen: { previewMetadata: { labels: { role: "preview" } } } },
  ]) {
    assert.deepEqual(unread(passing(strategy)), ["Rollout shop/orders"]);
    assert.deepEqual(keys(passing(strategy)), []);
  }
});

test("an object of a kind that nobody here knows makes pods where a template of pods stands in it, however deep", () => {
  for (const spec of [
    { template: template() },
    { template: { spec: { containers: [{ image: "i" }] } } },
    { replicatedJobs: [{ template: { spec: { template: template() } } }] },
    { containers: [{ name: "c" }] },
  ])
    assert.deepEqual(
      unread(made("example.com/v1", "Thing", "x", spec)),
      ["Thing shop/x"],
      JSON.stringify(spec),
    );
  for (const spec of [
    {},
    { containers: [] },
    { containers: "c" },
    { containers: [1, "c"] },
    { template: { spec: { image: "i" } } },
  ])
    assert.deepEqual(unread(made("example.com/v1", "Thing", "x", spec)), [], JSON.stringify(spec));
});

test("operators' kinds make pods without a template; their other kinds, templates for others, policies and Kubernetes' own make none", () => {
  assert.deepEqual(unread(made("kafka.strimzi.io/v1beta2", "Kafka", "k", { kafka: { replicas: 3 } })), [
    "Kafka shop/k",
  ]);
  assert.deepEqual(unread(made("serving.knative.dev/v1", "Service", "s", {})), ["Service shop/s"]);
  for (const own of [
    made("kafka.strimzi.io/v1beta2", "KafkaTopic", "k", { replicas: 3 }),
    made("kyverno.io/v1", "ClusterPolicy", "p", {
      rules: [{ validate: { pattern: { spec: { containers: [{ name: "*" }] } } } }],
    }),
    made("apps/v1", "Deployment", "d", { template: template() }),
    made("serving.kserve.io/v1alpha1", "ClusterServingRuntime", "r", {
      containers: [{ name: "c", image: "i" }],
    }),
    made("argoproj.io/v1alpha1", "WorkflowTemplate", "w", { template: template() }),
    made("v1", "PodTemplate", "t", { template: template() }),
    made("networking.istio.io/v1", "VirtualService", "v", { containers: [{ name: "c" }] }),
  ])
    assert.deepEqual(unread(own), [], own.kind);
});

test("whose pods are in the files, by whatever stands between, is read; a pod of another owner does not count", () => {
  const kafka = made("kafka.strimzi.io/v1beta2", "Kafka", "k", {});
  const set = made(
    "core.strimzi.io/v1beta2",
    "StrimziPodSet",
    "k-kafka",
    {},
    owner("kafka.strimzi.io/v1beta2", "Kafka", "k"),
  );
  const pod = (name: string) =>
    made(
      "v1",
      "Pod",
      "k-0",
      template().spec as Json,
      owner("core.strimzi.io/v1beta2", "StrimziPodSet", name),
    );
  assert.deepEqual(unread(kafka, set), ["Kafka shop/k", "StrimziPodSet shop/k-kafka"]);
  assert.deepEqual(unread(kafka, set, pod("k-kafka")), []);
  assert.deepEqual(unread(kafka, set, pod("other")), ["Kafka shop/k", "StrimziPodSet shop/k-kafka"]);
});

test("pods may have every label but another value of one that their template has", () => {
  const [own] = unreadPods([made("example.com/v1", "Thing", "x", { template: template({ app: "orders" }) })]);
  const [any] = unreadPods([made("kafka.strimzi.io/v1beta2", "Kafka", "k", {})]);
  assert.ok(own !== undefined && any !== undefined);
  assert.ok(mayHaveLabels(own, {}) && mayHaveLabels(own, { app: "orders", more: "x" }));
  assert.ok(!mayHaveLabels(own, { app: "web" }));
  assert.ok(mayHaveLabels(any, { app: "web" }));
});

test("whoever loads the files is warned of pods that are not read, at their place", () => {
  const { warnings } = admitPods([made("kafka.strimzi.io/v1beta2", "Kafka", "k", {})]);
  assert.deepEqual(
    warnings.map(({ code, severity, resource }) => [code, severity, resource]),
    [["BW1515_PODS_NOT_READ", "warning", "Kafka shop/k"]],
  );
  assert.deepEqual(admitPods([made("example.com/v1", "Thing", "x", {})]).warnings, []);
});
