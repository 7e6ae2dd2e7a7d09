/** Who gets a sidecar: the namespace's labels, the pod's, and what comes first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

type Labels = Readonly<Record<string, string | undefined>>;

function namespace(name: string, labels: Labels = {}): Resource {
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
  return resourceFromJson(body, { file: "mesh.yaml", createdAt: 0 });
}

interface Pod {
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly hostNetwork?: boolean;
  readonly containers?: readonly string[];
}

function deployment(of: string, { labels = {}, annotations = {}, hostNetwork, containers = ["app"] }: Pod) {
  const spec = { hostNetwork, containers: containers.map((name) => ({ name })) };
  const template = { metadata: { labels, annotations }, spec };
  const body = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "a", namespace: of } };
  return resourceFromJson({ ...body, spec: { template } }, { file: "mesh.yaml", createdAt: 0 });
}

/** The data plane of a pod in namespace `n`, in a mesh whose other namespaces say who is injected. */
function dataplane(ofNamespace: Labels, pod: Pod = {}): string {
  const resources = [
    namespace("other", { "istio-injection": "enabled" }),
    namespace("n", ofNamespace),
    deployment("n", pod),
  ];
  return buildMesh(resources).workloads[0]?.dataplane ?? "";
}

const ENABLED = { "istio-injection": "enabled" };
const DISABLED = { "istio-injection": "disabled" };
const inject = (value: string): Pod => ({ labels: { "sidecar.istio.io/inject": value } });
const annotated = (value: string): Pod => ({ annotations: { "sidecar.istio.io/inject": value } });

test("a namespace's label has pods injected, and nothing does where nobody says so", () => {
  assert.equal(dataplane(ENABLED), "sidecar");
  assert.equal(dataplane(DISABLED), "none");
  assert.equal(dataplane({}), "none");
  assert.equal(dataplane({ "istio-injection": "yes" }), "none");
});

test("a revision has pods injected, unless istio-injection stands beside it and says no", () => {
  assert.equal(dataplane({ "istio.io/rev": "canary" }), "sidecar");
  assert.equal(dataplane({}, { labels: { "istio.io/rev": "canary" } }), "sidecar");
  assert.equal(dataplane({ "istio.io/rev": "canary", ...DISABLED }), "none");
  assert.equal(dataplane(DISABLED, { labels: { "istio.io/rev": "canary" } }), "none");
});

test("a pod's label takes it out of an injected namespace, and into the mesh from one without a label", () => {
  assert.equal(dataplane(ENABLED, inject("false")), "none");
  assert.equal(dataplane({}, inject("true")), "sidecar");
  assert.equal(dataplane({ "istio.io/rev": "canary" }, inject("false")), "none");
});

test("a pod's label does not bring it in where the namespace says disabled", () => {
  assert.equal(dataplane(DISABLED, inject("true")), "none");
});

test("a pod's annotation takes it out, not in, and gives way to its label", () => {
  assert.equal(dataplane(ENABLED, annotated("false")), "none");
  assert.equal(dataplane({}, annotated("true")), "none");
  assert.equal(dataplane(ENABLED, { ...inject("true"), ...annotated("false") }), "sidecar");
});

test("a value that is neither true nor false says nothing", () => {
  assert.equal(dataplane(ENABLED, inject("no")), "sidecar");
  assert.equal(dataplane({}, inject("enabled")), "none");
});

test("pods on their host's network are never injected, nor taken by ztunnel", () => {
  assert.equal(dataplane(ENABLED, { hostNetwork: true }), "none");
  assert.equal(dataplane(ENABLED, { hostNetwork: true, ...inject("true") }), "none");
  assert.equal(dataplane({ "istio.io/dataplane-mode": "ambient" }, { hostNetwork: true }), "none");
});

test("nothing is injected in Kubernetes' own namespaces", () => {
  const mesh = buildMesh([namespace("kube-system", ENABLED), deployment("kube-system", inject("true"))]);
  assert.equal(mesh.workloads[0]?.dataplane, "none");
  assert.match(mesh.workloads[0]?.unproxied ?? "", /kube-system/);
});

test("a pod that has its proxy already has one, whatever the labels say", () => {
  assert.equal(dataplane(DISABLED, { containers: ["app", "istio-proxy"] }), "sidecar");
  assert.equal(dataplane({}, { annotations: { "sidecar.istio.io/status": "{}" } }), "sidecar");
});

const AMBIENT = { "istio.io/dataplane-mode": "ambient" };

test("ambient mode: by the namespace or the pod; the pod's none takes it out", () => {
  assert.equal(dataplane(AMBIENT), "ambient");
  assert.equal(dataplane({}, { labels: AMBIENT }), "ambient");
  assert.equal(dataplane(AMBIENT, { labels: { "istio.io/dataplane-mode": "none" } }), "none");
  assert.equal(dataplane(ENABLED, { labels: { "istio.io/dataplane-mode": "none" } }), "sidecar");
});

test("where both data planes are asked for, the sidecar is there first and ztunnel leaves the pod alone", () => {
  assert.equal(dataplane({ ...AMBIENT, ...ENABLED }), "sidecar");
  assert.equal(dataplane(AMBIENT, inject("true")), "sidecar");
  assert.equal(dataplane({ ...AMBIENT, ...ENABLED }, inject("false")), "ambient");
});

test("files in which nobody asks for a proxy are of a mesh that injects by default; who opts out is out", () => {
  const alone = (pod: Pod, labels: Labels = {}): string | undefined =>
    buildMesh([namespace("n", labels), deployment("n", pod)]).workloads[0]?.dataplane;
  assert.equal(alone({}), "sidecar");
  assert.equal(alone(inject("false")), "none");
  assert.equal(alone(annotated("false")), "none");
  assert.equal(alone({}, DISABLED), "none");
  assert.equal(alone({ hostNetwork: true }), "none");
});

test("a gateway that asks to be injected says nothing about others", () => {
  const gateway = deployment("n", {
    ...inject("true"),
    annotations: { "inject.istio.io/templates": "gateway" },
  });
  const mesh = buildMesh([namespace("n"), namespace("m"), gateway, deployment("m", {})]);
  assert.deepEqual(
    mesh.workloads.map(({ key, dataplane: own }) => [key, own]),
    [
      ["n/a", "sidecar"],
      ["m/a", "sidecar"],
    ],
  );
});

test("a namespace that no file declares is taken to be injected: its labels are not known", () => {
  const mesh = buildMesh([namespace("other", ENABLED), deployment("unknown", {})]);
  assert.equal(mesh.workloads[0]?.dataplane, "sidecar");
});

test("what keeps the proxy away is told", () => {
  const mesh = buildMesh([namespace("n", DISABLED), deployment("n", inject("true"))]);
  assert.equal(mesh.workloads[0]?.unproxied, "its namespace says `istio-injection: disabled`");
  assert.equal(buildMesh([deployment("n", {})]).workloads[0]?.unproxied, undefined);
});
