/** What a pod's own description yields, and what of it only its node's kubelet has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GainGraph } from "../../../src/analysis/blast/gains.ts";
import { HoldingsIndex } from "../../../src/analysis/blast/holdings.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { BASE, type Json, KEY, object, pod } from "./rbac-mesh.ts";

function heldBy(component: string, resources: readonly Resource[]): ReadonlySet<string> {
  const index = new HoldingsIndex(new GainGraph(buildMesh([...BASE, ...resources])));
  return new Set(index.of(component).yields.map(({ id }) => id));
}

const own = (spec: Json): readonly Resource[] => [
  pod("a", "own", { nodeName: "n1", automountServiceAccountToken: false, ...spec }),
];

const container = (securityContext: Json): Json => ({
  containers: [{ name: "c", image: "i", securityContext }],
});

test("capabilities and Windows' host processes that reach the node, and those that do not", () => {
  const reaches = (spec: Json): boolean => heldBy("workload/a/own", own(spec)).has("node/n1");
  for (const name of ["SYS_ADMIN", "CAP_SYS_MODULE", "DAC_READ_SEARCH", "ALL", "sys_module"])
    assert.equal(reaches(container({ capabilities: { add: [name] } })), true, name);
  for (const name of ["NET_ADMIN", "NET_RAW", "CHOWN"])
    assert.equal(reaches(container({ capabilities: { add: [name] } })), false, name);
  assert.equal(reaches(container({ capabilities: { drop: ["ALL"] } })), false);
  assert.equal(reaches(container({ windowsOptions: { hostProcess: true } })), true);
  assert.equal(reaches({ securityContext: { windowsOptions: { hostProcess: true } } }), true);
  assert.equal(reaches({ securityContext: { windowsOptions: { hostProcess: false } } }), false);
});

test("projected tokens by their audience: the API server's, the CA's, somebody else's", () => {
  const of = (audience: string | undefined): ReadonlySet<string> => {
    const serviceAccountToken = { path: "t", ...(audience === undefined ? {} : { audience }) };
    const namespace = object("v1", "Namespace", "", "calm", {
      labels: { "istio.io/dataplane-mode": "ambient" },
    });
    return heldBy("workload/calm/own", [
      namespace,
      pod("calm", "own", {
        automountServiceAccountToken: false,
        volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken }] } }],
      }),
    ]);
  };
  const key = KEY("calm", "own");
  for (const audience of [
    undefined,
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes.default.svc",
  ])
    assert.ok(of(audience).has("token/calm/own") && of(audience).has(key), String(audience));
  assert.deepEqual([of("istio-ca").has("token/calm/own"), of("istio-ca").has(key)], [false, true]);
  assert.deepEqual([of("vault").has("token/calm/own"), of("vault").has(key)], [false, false]);
});

test("credentials of registries and of volumes' drivers are the node's, and not the pod's", () => {
  const specs: readonly Json[] = [
    { imagePullSecrets: [{ name: "kept" }] },
    { volumes: [{ name: "v", csi: { driver: "d", nodePublishSecretRef: { name: "kept" } } }] },
    { volumes: [{ name: "v", azureFile: { secretName: "kept", shareName: "s" } }] },
    { volumes: [{ name: "v", cephfs: { monitors: ["m"], secretRef: { name: "kept" } } }] },
  ];
  for (const spec of specs) {
    assert.ok(heldBy("node/n1", own(spec)).has("secret/a/kept"), JSON.stringify(spec));
    assert.ok(!heldBy("workload/a/own", own(spec)).has("secret/a/kept"), JSON.stringify(spec));
  }
  const account = object("v1", "ServiceAccount", "a", "own", { imagePullSecrets: [{ name: "kept" }] });
  assert.ok(heldBy("node/n1", [...own({}), account]).has("secret/a/kept"));
  // Only what the pod says counts where it says something.
  const both = own({ imagePullSecrets: [{ name: "other" }] });
  assert.ok(!heldBy("node/n1", [...both, account]).has("secret/a/kept"));
  const mounted = own({ volumes: [{ name: "v", secret: { secretName: "kept" } }] });
  assert.ok(heldBy("workload/a/own", mounted).has("secret/a/kept"));
});

test("a node that a pod names is not where all others are, unless files say that it is the only one", () => {
  const other = BASE.filter(({ kind }) => kind !== "Node");
  const on = (resources: readonly Resource[]): boolean =>
    new HoldingsIndex(new GainGraph(buildMesh([...resources, ...own({})])))
      .of("node/n1")
      .yields.some(({ id }) => id === "workload/a/other");
  assert.deepEqual([on(other), on(BASE)], [false, true]);
});
