/**
 * Which pods take HBONE.
 * @see https://istio.io/latest/docs/ambient/architecture/hbone/ and injection-template.yaml of istio/istio
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import { takesHbone } from "../../../src/policy/ambient/hbone.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import { meshConfigText, podText } from "../path/journey-text.ts";

const SWITCH = "ISTIO_META_ENABLE_HBONE";

function meshWith(config?: object): Mesh {
  return meshOf(podText("a", "s") + (config === undefined ? "" : meshConfigText(config)));
}

function takes(more: Partial<Workload>, config?: object): boolean {
  const mesh = meshWith(config);
  return takesHbone(mesh, { ...workloadOf(mesh, "a/s"), kind: "Deployment", addresses: [], ...more });
}

const ON = { defaultConfig: { proxyMetadata: { [SWITCH]: "true" } } };
const OFF = { defaultConfig: { proxyMetadata: { [SWITCH]: "false" } } };
const label = (value: string) => ({ labels: { "networking.istio.io/tunnel": value } });

test("applications in ambient mode take HBONE, proxies do not", () => {
  assert.equal(takes({ dataplane: "ambient" }, OFF), true);
  for (const role of ["gateway", "waypoint"] as const) {
    assert.equal(takes({ dataplane: "ambient", role }, ON), false);
    assert.equal(takes({ role, ...label("http") }, ON), false);
  }
});

test("without a proxy nobody takes it, labelled or not", () => {
  assert.equal(takes({ dataplane: "none" }, ON), false);
  assert.equal(takes({ dataplane: "none", ...label("http") }, ON), false);
});

test("behind a sidecar the label decides, whatever the mesh says", () => {
  assert.equal(takes(label("http"), OFF), true);
  assert.equal(takes(label("other,http"), OFF), true);
  for (const other of ["", "none", "https"]) assert.equal(takes(label(other), ON), false);
});

test("a template without the label is labelled when it is injected, if its proxy's metadata or the mesh's has it so", () => {
  const own = (text: string): Partial<Workload> => ({ annotations: { "proxy.istio.io/config": text } });
  assert.equal(takes({}, ON), true);
  assert.equal(takes({}, OFF), false);
  assert.equal(takes({}, { defaultConfig: { concurrency: 2 } }), false);
  assert.equal(takes({}), true, "no mesh settings: as of the ambient profile");
  assert.equal(takes(own(`proxyMetadata: {${SWITCH}: "true"}`), OFF), true);
  assert.equal(takes(own(`proxyMetadata: {${SWITCH}: "false"}`), ON), false);
  assert.equal(takes(own("concurrency: 2"), ON), true);
  assert.equal(takes(own("{ no yaml"), ON), true);
});

test("what runs already was labelled when it was injected, or is not: a pod with an address, a WorkloadEntry", () => {
  assert.equal(takes({ kind: "Pod", addresses: ["10.0.0.1"] }, ON), false);
  assert.equal(takes({ kind: "Pod", addresses: [] }, ON), true);
  assert.equal(takes({ kind: "Deployment", addresses: ["10.0.0.1"] }, ON), true);
  assert.equal(takes({ kind: "WorkloadEntry" }, ON), false);
});
