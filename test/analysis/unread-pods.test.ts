/** Pods that no file has: no proof is about them, and no comparison. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { BUILT_INS } from "../../src/analysis/verify/built-in-invariants.ts";
import { invariantOf, isInvariant } from "../../src/analysis/verify/invariant.ts";
import { NETWORK_BUILT_INS } from "../../src/analysis/verify/network-invariants.ts";
import { verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { meshOf } from "../policy/outbound/mesh-of.ts";

const template = (labels: string): string =>
  `template: {metadata: {labels: {${labels}}}, spec: {serviceAccountName: a, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}`;

const SHOP = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled, bulwark.dev/sensitive: "true"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {${template("app: web")}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}
`;

const thing = (labels: string, namespace = "shop", kind = "Thing", group = "example.com/v1"): string => `---
apiVersion: ${group}
kind: ${kind}
metadata: {name: x, namespace: ${namespace}}
spec: {${template(labels)}}
`;

const ONLY = (namespace: string, selector = ""): string => `---
apiVersion: bulwark.dev/v1
kind: AccessInvariant
metadata: {name: i, namespace: ${namespace}}
spec: {${selector}only: [{from: [{source: {namespaces: [shop]}}]}]}
`;

async function verdict(...texts: readonly string[]): Promise<string> {
  const mesh = meshOf([SHOP, ...texts].join(""));
  const invariants = mesh.resources.filter(isInvariant).map((own) => invariantOf(own, mesh));
  const [result] = (await verifyAccess(mesh, invariants, { semantics: "istio" })).results;
  assert.deepEqual(result?.proven, [
    "shop/web",
    ...(texts.join("").includes("kind: Rollout") ? ["shop/x"] : []),
  ]);
  return [result?.outcome, ...(result?.findings ?? []).map(({ why }) => why)].join(": ");
}

const UNREAD = "unclear: not analysed: Thing shop/x makes pods that are in no file";

test("an invariant of a namespace with pods that no file has is not proven, and says whose; a Rollout's pods are read", async () => {
  assert.equal(await verdict(ONLY("shop")), "proven");
  assert.equal(await verdict(ONLY("shop"), thing("app: x")), UNREAD);
  assert.equal(await verdict(ONLY("istio-system"), thing("app: x")), UNREAD);
  assert.equal(await verdict(ONLY("shop"), thing("app: x", "other")), "proven");
  assert.equal(
    await verdict(ONLY("shop"), thing("app: x", "shop", "Rollout", "argoproj.io/v1alpha1")),
    "proven",
  );
});

test("an invariant with a selector is not proven where their labels may be those it selects", async () => {
  const web = ONLY("shop", "selector: {matchLabels: {app: web}}, ");
  assert.equal(await verdict(web, thing("app: x")), "proven");
  assert.equal(await verdict(web, thing("app: web")), UNREAD);
  assert.equal(await verdict(web, thing("tier: x")), UNREAD);
});

test("built-in invariants are not proven beside pods that no file has, of servers and of the network", async () => {
  const mesh = (more: string) =>
    meshOf(`${SHOP}---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: none, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress]}
${more}`);
  for (const name of ["no-plaintext", "sensitive"]) {
    const of = async (more: string) => {
      const own = mesh(more);
      const invariants = BUILT_INS.find((one) => one.name === name)?.invariants(own) ?? [];
      return (await verifyAccess(own, invariants, { semantics: "istio" })).results.map(
        ({ outcome }) => outcome,
      );
    };
    assert.deepEqual([await of(""), await of(thing("app: x"))], [["proven"], ["unclear"]], name);
  }
  const egress = NETWORK_BUILT_INS.find(({ name }) => name === "egress-by-gateway") ?? assert.fail();
  assert.equal((await egress.judge(mesh(""), "istio")).outcome, "proven");
  assert.equal((await egress.judge(mesh(thing("app: x")), "istio")).outcome, "unclear");
});

async function untold(before: readonly string[], after: readonly string[]): Promise<readonly string[]> {
  const [old, now] = [before, after].map((texts) => meshOf([SHOP, ...texts].join("")));
  const diff = await diffMesh(old ?? assert.fail(), now ?? assert.fail(), { semantics: "istio" });
  return diff.notAnalysed.filter(({ why }) => /in no file/.test(why)).flatMap(({ workloads }) => workloads);
}

const policy = (namespace: string, selector = ""): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: more, namespace: ${namespace}}
spec: {${selector}action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]}
`;

test("diff names pods that no file has where what changes may hold for them, and nothing where it cannot", async () => {
  const own = thing("app: x");
  assert.deepEqual(await untold([own], [own]), []);
  assert.deepEqual(await untold([], [policy("shop")]), []);
  assert.deepEqual(await untold([own], [own, policy("shop")]), ["Thing shop/x"]);
  assert.deepEqual(await untold([own, policy("istio-system")], [own]), ["Thing shop/x"]);
  assert.deepEqual(await untold([own], [own, policy("other")]), []);
  const selector = (app: string): string => `selector: {matchLabels: {app: ${app}}}, `;
  assert.deepEqual(await untold([own], [own, policy("shop", selector("x"))]), ["Thing shop/x"]);
  assert.deepEqual(await untold([own], [own, policy("shop", selector("web"))]), []);
});

test("an object that makes pods that no file has and that changed is not compared, also where its kind's name is one that is", async () => {
  const of = async (kind: string) => {
    const [old, now] = ["app: x", "app: y"].map((labels) => meshOf(SHOP + thing(labels, "shop", kind)));
    const { notCompared } = await diffMesh(old ?? assert.fail(), now ?? assert.fail(), {
      semantics: "istio",
    });
    return notCompared.map(({ resource, change }) => `${resource} ${change}`);
  };
  for (const kind of ["Thing", "Service", "Deployment"])
    assert.deepEqual(await of(kind), [`${kind} shop/x changed`]);
});
