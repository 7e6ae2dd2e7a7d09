import assert from "node:assert/strict";
import { test } from "node:test";
import { toleratesForMap } from "../../../src/policy/network/tolerated-errors.ts";
import type { Diagnostic } from "../../../src/resources/diagnostic.ts";

function error(code: string, message = ""): Diagnostic {
  return { code, severity: "error", message };
}

const ANY = error("BW1100_ANY", "is wrong");

test("a map reads workloads, Services and Ingresses whatever is wrong with them", () => {
  for (const [apiVersion, kind] of [
    ["v1", "Namespace"],
    ["v1", "Pod"],
    ["v1", "Service"],
    ["v1", "ReplicationController"],
    ["apps/v1", "Deployment"],
    ["apps/v1", "StatefulSet"],
    ["apps/v1", "DaemonSet"],
    ["apps/v1", "ReplicaSet"],
    ["batch/v1", "Job"],
    ["batch/v1", "CronJob"],
    ["networking.k8s.io/v1", "Ingress"],
  ] as const)
    assert.equal(toleratesForMap({ apiVersion, kind }, [ANY]), true, kind);
  for (const [apiVersion, kind] of [
    ["v1", "Deployment"],
    ["example.com/v1", "Service"],
    ["security.istio.io/v1", "AuthorizationPolicy"],
  ] as const)
    assert.equal(toleratesForMap({ apiVersion, kind }, [ANY]), false, kind);
});

test("of a network policy only its name and a selector left out are forgiven, and names of ports at addresses", () => {
  const tolerated = (errors: readonly Diagnostic[], kind = "AdminNetworkPolicy"): boolean =>
    toleratesForMap({ apiVersion: "policy.networking.k8s.io/v1alpha1", kind }, errors);
  const name = error("BW1109_BAD_NAME", "`A` is no name");
  const selector = (which: string): Diagnostic =>
    error("BW1104_MISSING_FIELD", `\`spec.subject.pods.${which}\` is required`);
  const port = error("BW1250_ADMIN_NETWORK_POLICY", "networks have no named ports");
  for (const one of [name, selector("podSelector"), selector("namespaceSelector"), port])
    assert.equal(tolerated([one]), true, one.message);
  assert.equal(tolerated([name, selector("podSelector"), port]), true);
  assert.equal(tolerated([]), true);
  for (const other of [
    ANY,
    selector("subject"),
    error("BW1104_MISSING_FIELD", "`spec.priority` is required"),
    error("BW1104_MISSING_FIELD", "`spec.subject.pods.podSelector` is required here"),
    error("BW1250_ADMIN_NETWORK_POLICY", "a rule has no peers"),
    error("BW1250_ADMIN_NETWORK_POLICY", "networks have no named ports, and no peers"),
    error("BW1100_ANY", "networks have no named ports"),
    error("BW1100_ANY", "`spec.subject.pods.podSelector` is required"),
  ]) {
    assert.equal(tolerated([other]), false, other.message);
    assert.equal(tolerated([name, other]), false, "one that counts is enough");
  }
});
