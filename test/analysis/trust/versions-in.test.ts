import assert from "node:assert/strict";
import { test } from "node:test";
import { componentOf, versionsIn } from "../../../src/analysis/trust/advisories/versions-in.ts";
import { parseImageReference } from "../../../src/analysis/trust/images/image-reference.ts";
import { containersOf } from "../../../src/analysis/trust/images/pod-containers.ts";
import { loadMesh } from "../../../src/index.ts";
import { writeMesh } from "./write-mesh.ts";

const MESH = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {nodeInfo: {kubeletVersion: v1.30.2, kubeProxyVersion: v1.30.2}}
---
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec: {version: v1.27.1, namespace: istio-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec:
      initContainers: [{name: setup, image: "registry.corp/tools/kubectl:1.29.1"}]
      containers: [{name: discovery, image: "gcr.io/istio-release/pilot:1.27.3-distroless"}, {name: istio-proxy, image: auto}]
---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: apps, annotations: {sidecar.istio.io/proxyImage: "docker.io/istio/proxyv2:1.26.0"}}
spec:
  containers: [{name: app, image: "envoyproxy/envoy@sha256:${"ab".repeat(32)}"}]
  ephemeralContainers: [{name: debug, image: "registry.k8s.io/kube-proxy:v1.30.2"}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: apps}
spec:
  schedule: "0 0 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: job, image: "corp/pilot:3.2.1"}]}}}}
`;

test("versionsIn finds versions in nodes, operators, annotations and the images of all kinds of containers", async (t) => {
  const { mesh, rejected } = await loadMesh([writeMesh(t, MESH)]);
  assert.deepEqual(rejected, []);
  const found = versionsIn(mesh.resources).map(
    ({ component, version, resource, path }) => `${resource.kind} ${component} ${version} ${path.join(".")}`,
  );
  assert.deepEqual(found.sort(), [
    "Deployment istio 1.27.3-distroless spec.template.spec.containers.0.image",
    "Deployment kubectl 1.29.1 spec.template.spec.initContainers.0.image",
    "Istio istio v1.27.1 spec.version",
    "Node kubelet v1.30.2 status.nodeInfo.kubeletVersion",
    "Pod envoy undefined spec.containers.0.image",
    "Pod istio 1.26.0 metadata.annotations.sidecar.istio.io/proxyImage",
    "Pod kube-proxy v1.30.2 spec.ephemeralContainers.0.image",
  ]);
});

test("containersOf gives a CronJob's containers with their path, their lists and their images", async (t) => {
  const { mesh } = await loadMesh([writeMesh(t, MESH)]);
  const of = (kind: string) => mesh.resources.filter((one) => one.kind === kind).flatMap(containersOf);
  assert.deepEqual(
    of("CronJob").map(({ path }) => path.join(".")),
    ["spec.jobTemplate.spec.template.spec.containers.0"],
  );
  assert.deepEqual(
    of("Deployment").map(({ role, name, image }) => [role, name, image]),
    [
      ["initContainers", "setup", "registry.corp/tools/kubectl:1.29.1"],
      ["containers", "discovery", "gcr.io/istio-release/pilot:1.27.3-distroless"],
      ["containers", "istio-proxy", "auto"],
    ],
  );
});

test("componentOf tells Istio's images from others of the same name", () => {
  for (const [image, container, component] of [
    ["mirror.corp/hub/proxyv2:1.27.0", "x", "istio"],
    ["docker.io/istio/ztunnel:1.27.0", "x", "istio"],
    ["corp/pilot:1", "app", undefined],
    ["corp/pilot:1", "discovery", "istio"],
    ["docker.io/istio/install-cni:1.27.0", "x", "istio"],
    ["corp/install-cni:1", "x", undefined],
    ["envoyproxy/envoy:v1.36.0", "x", "envoy"],
    ["envoyproxy/envoy-distroless:v1.36.0", "x", "envoy"],
    ["envoyproxy/gateway:v1.3.0", "x", undefined],
    ["corp/envoy-config:1", "x", undefined],
    ["registry.k8s.io/kube-apiserver:v1.30.0", "x", "kube-apiserver"],
    ["corp/constructor:1", "x", undefined],
  ] as const) {
    const parsed = parseImageReference(image);
    assert.ok(parsed, image);
    assert.equal(componentOf(parsed, container), component, `${image} as ${container}`);
  }
});
