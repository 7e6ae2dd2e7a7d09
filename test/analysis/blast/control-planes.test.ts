/** Rights where istiod runs: in the mesh's root namespace or, of a revision, in another one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { heldBy, type Json, namespaceOf, object, pod, RBAC, RULE } from "./rbac-mesh.ts";

const istiodIn = (namespace: string, app = "istiod") =>
  object("v1", "Pod", namespace, "istiod-own", {
    labels: { app },
    spec: { serviceAccountName: "pilot", containers: [{ name: "c", image: "i" }] },
  });

/** What a/app holds by a rule in a Role of the namespace `control`, where something runs. */
function heldThere(rule: Json, app = "istiod"): ReadonlySet<string> {
  return heldBy([
    namespaceOf("control", "restricted"),
    istiodIn("control", app),
    object(RBAC, "Role", "control", "own", { rules: [rule] }),
    object(RBAC, "RoleBinding", "control", "own", {
      subjects: [{ kind: "ServiceAccount", namespace: "a", name: "app" }],
      roleRef: { kind: "Role", name: "own" },
    }),
  ]);
}

test("what istiod's own namespace has counts where it runs, and nothing of it where it does not", () => {
  for (const [rule, yields] of [
    [RULE(["get"], "", ["secrets"]), "ca"],
    [RULE(["get"], "", ["secrets"], ["cacerts"]), "ca"],
    [RULE(["update"], "", ["secrets"]), "ca"],
    [RULE(["update"], "", ["configmaps"]), "ca"],
    [RULE(["patch"], "", ["configmaps"], ["istio-1-27"]), "ca"],
    [RULE(["patch"], "", ["configmaps"], ["istio-sidecar-injector-1-27"]), "proxies/*"],
    [RULE(["create"], "", ["serviceaccounts/token"]), "istiod"],
    [RULE(["create"], "", ["serviceaccounts/token"], ["pilot"]), "istiod"],
    [RULE(["impersonate"], "", ["serviceaccounts"], ["pilot"]), "istiod"],
    [RULE(["patch"], "apps", ["deployments"]), "istiod"],
    [RULE(["create"], "", ["pods/exec"]), "istiod"],
  ] as const) {
    assert.ok(heldThere(rule).has(yields), JSON.stringify(rule));
    assert.ok(!heldThere(rule, "other").has(yields), `${JSON.stringify(rule)} without istiod`);
  }
  assert.ok(!heldThere(RULE(["update"], "", ["configmaps"], ["istio-ca-root-cert"])).has("ca"));
  assert.ok(!heldThere(RULE(["get"], "", ["secrets"], ["other"])).has("ca"));
});

test("a token of istiod's account is istiod, one of another account there is not", () => {
  const of = (account: string): ReadonlySet<string> =>
    heldBy([istiodIn("istio-system"), pod("istio-system", "grafana")], account);
  assert.ok(of("istio-system/pilot").has("apiserver"));
  assert.ok(!of("istio-system/grafana").has("istiod"));
});

test("the CA's Secret by its name is the CA's key, in istiod's namespace alone, though no file has it", () => {
  const cluster = (name: string): ReadonlySet<string> =>
    heldBy([
      object(RBAC, "ClusterRole", "", "own", { rules: [RULE(["get"], "", ["secrets"], [name])] }),
      object(RBAC, "ClusterRoleBinding", "", "own", {
        subjects: [{ kind: "ServiceAccount", namespace: "a", name: "app" }],
        roleRef: { kind: "ClusterRole", name: "own" },
      }),
    ]);
  assert.ok(cluster("cacerts").has("ca"));
  assert.ok(!cluster("database").has("ca"));
  assert.ok(!cluster("cacerts").has("secret/a/cacerts"));
});
