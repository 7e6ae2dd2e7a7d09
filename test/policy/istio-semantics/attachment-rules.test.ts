/** Which policies hold for sidecars, gateways and waypoints: https://istio.io/latest/docs/reference/config/type/workload-selector/ */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Workload } from "../../../src/model/mesh.ts";
import { attachedPolicies } from "../../../src/policy/policy-attachment.ts";
import { authorization, policyOf } from "../inbound-fixture.ts";

const GROUP = "gateway.networking.k8s.io";
const LABEL = `${GROUP}/gateway-name`;
const OWN = policyOf([]).workload;
const SIDECAR: Workload = { ...OWN, labels: { app: "web" } };
const WAYPOINT: Workload = { ...OWN, role: "waypoint", labels: { app: "web", [LABEL]: "wp" } };
const GATEWAY: Workload = { ...OWN, role: "gateway", labels: { app: "web", [LABEL]: "wp" } };

/** Of which of sidecar, gateway and waypoint the policy is. */
function holdsFor(spec: object, namespace = "foo"): readonly string[] {
  const policy = authorization("p", { ...spec }, { namespace });
  const workloads = { sidecar: SIDECAR, gateway: GATEWAY, waypoint: WAYPOINT };
  return Object.entries(workloads).flatMap(([name, workload]) =>
    attachedPolicies([policy], workload, "istio-system").length > 0 ? [name] : [],
  );
}

const WAYPOINT_CLASS = { group: GROUP, kind: "GatewayClass", name: "istio-waypoint" };
const OWN_GATEWAY = { group: GROUP, kind: "Gateway", name: "wp" };

test("waypoints ignore selectors, and policies without one: they honour targetRefs alone", () => {
  assert.deepEqual(holdsFor({}), ["sidecar", "gateway"]);
  assert.deepEqual(holdsFor({ selector: { matchLabels: { app: "web" } } }), ["sidecar", "gateway"]);
  assert.deepEqual(holdsFor({ selector: { matchLabels: { app: "other" } } }), []);
  assert.deepEqual(holdsFor({}, "istio-system"), ["sidecar", "gateway"]);
});

test("targetRefs name a Gateway of the policy's own namespace; sidecars ignore such policies", () => {
  const both = ["gateway", "waypoint"];
  assert.deepEqual(holdsFor({ targetRefs: [OWN_GATEWAY] }), both);
  assert.deepEqual(holdsFor({ targetRef: OWN_GATEWAY }), both);
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, name: "other" }, OWN_GATEWAY] }), both);
  assert.deepEqual(
    holdsFor({ targetRefs: [OWN_GATEWAY], selector: { matchLabels: { app: "other" } } }),
    both,
  );
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, name: "other" }] }), []);
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, group: "" }] }), []);
});

test("GatewayClass istio-waypoint is honoured in the root namespace only, by waypoints only", () => {
  assert.deepEqual(holdsFor({ targetRefs: [WAYPOINT_CLASS] }, "istio-system"), ["waypoint"]);
  assert.deepEqual(holdsFor({ targetRefs: [WAYPOINT_CLASS] }), []);
  assert.deepEqual(holdsFor({ targetRefs: [{ ...WAYPOINT_CLASS, name: "istio" }] }, "istio-system"), []);
});

test("references to another namespace never match, wherever the policy is", () => {
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, namespace: "foo" }] }), ["gateway", "waypoint"]);
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, namespace: "" }] }), ["gateway", "waypoint"]);
  assert.deepEqual(holdsFor({ targetRefs: [{ ...OWN_GATEWAY, namespace: "bar" }] }), []);
  for (const namespace of ["bar", "istio-system"]) {
    assert.deepEqual(holdsFor({ targetRefs: [OWN_GATEWAY] }, namespace), [], namespace);
    assert.deepEqual(
      holdsFor({ targetRefs: [{ ...OWN_GATEWAY, namespace: "foo" }] }, namespace),
      [],
      namespace,
    );
  }
});
