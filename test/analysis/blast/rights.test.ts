/** Every further right of the table, with what it comes to; beside it what lacks a part of it, or is of something else, and comes to nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GainGraph } from "../../../src/analysis/blast/gains.ts";
import { HoldingsIndex } from "../../../src/analysis/blast/holdings.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { blastReport, namesIn } from "../../../src/analysis/blast/report.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { BASE, held, heldBy, type Json, KEY, namespaceOf, object, pod, RBAC, RULE } from "./rbac-mesh.ts";

interface Row {
  readonly rules: readonly Json[];
  /** `cluster`, or the namespace of the role. */
  readonly where: string;
  readonly has: readonly string[];
  readonly not?: readonly string[];
}

const GATEWAYS = "gateway.networking.k8s.io";
const ISTIO = "networking.istio.io";
const ADMISSION = "admissionregistration.k8s.io";
const REGISTRATION = "apiregistration.k8s.io";
const EXTENSIONS = "apiextensions.k8s.io";
const DEFINITIONS = "customresourcedefinitions";
const POLICIES_CRD = "authorizationpolicies.security.istio.io";

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  "an APIService takes over its group: the cluster, unless the group is none of the cluster's": [
    { rules: [RULE(["update"], REGISTRATION, ["apiservices"])], where: "cluster", has: ["apiserver"] },
    {
      rules: [RULE(["create", "delete"], REGISTRATION, ["apiservices"])],
      where: "cluster",
      has: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], REGISTRATION, ["apiservices"], ["v1."])],
      where: "cluster",
      has: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], REGISTRATION, ["apiservices"], ["v1.rbac.authorization.k8s.io"])],
      where: "cluster",
      has: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], REGISTRATION, ["apiservices"], ["v1beta1.metrics.k8s.io"])],
      where: "cluster",
      has: [],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], REGISTRATION, ["apiservices"], ["v1.security.istio.io"])],
      where: "cluster",
      has: ["policies/*"],
      not: ["apiserver", "proxies/*"],
    },
    {
      rules: [RULE(["create"], REGISTRATION, ["apiservices"])],
      where: "cluster",
      has: [],
      not: ["apiserver"],
    },
    { rules: [RULE(["update"], REGISTRATION, ["apiservices"])], where: "a", has: [], not: ["apiserver"] },
  ],
  "definitions of custom resources convert what istiod reads; without them it is gone": [
    {
      rules: [RULE(["patch"], EXTENSIONS, [DEFINITIONS])],
      where: "cluster",
      has: ["policies/*", "proxies/*", "traffic/*", "sidecar/b/far"],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], EXTENSIONS, [DEFINITIONS], [POLICIES_CRD])],
      where: "cluster",
      has: ["policies/*"],
      not: ["proxies/*"],
    },
    {
      rules: [RULE(["patch"], EXTENSIONS, [DEFINITIONS], ["certificates.cert-manager.io"])],
      where: "cluster",
      has: [],
      not: ["policies/*", "proxies/*", "traffic/*"],
    },
    {
      rules: [RULE(["delete"], EXTENSIONS, [DEFINITIONS])],
      where: "cluster",
      has: ["policies/*"],
      not: ["proxies/*"],
    },
    {
      rules: [RULE(["create", "get"], EXTENSIONS, [DEFINITIONS])],
      where: "cluster",
      has: [],
      not: ["policies/*"],
    },
  ],
  "without the injector's webhook pods behind sidecars are made without": [
    {
      rules: [RULE(["delete"], ADMISSION, ["mutatingwebhookconfigurations"])],
      where: "cluster",
      has: ["policies/a", "policies/b"],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["delete"], ADMISSION, ["mutatingwebhookconfigurations"], ["istio-revision-tag-default"])],
      where: "cluster",
      has: ["policies/a"],
    },
    {
      rules: [RULE(["delete"], ADMISSION, ["mutatingwebhookconfigurations"], ["cert-manager-webhook"])],
      where: "cluster",
      has: [],
      not: ["policies/a"],
    },
  ],
  "a validating webhook is shown what is written, also where the rule names it": [
    {
      rules: [RULE(["update"], ADMISSION, ["validatingwebhookconfigurations"], ["own"])],
      where: "cluster",
      has: ["secrets/*"],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["delete"], ADMISSION, ["validatingadmissionpolicybindings"])],
      where: "cluster",
      has: [],
      not: ["secrets/*", "apiserver", "policies/a"],
    },
  ],
  "labels of a namespace take its pods out of the mesh": [
    {
      rules: [RULE(["patch"], "", ["namespaces"])],
      where: "a",
      has: ["labels/a", "policies/a"],
      not: ["policies/b", "node/*"],
    },
    {
      rules: [RULE(["update"], "", ["namespaces"], ["b"])],
      where: "cluster",
      has: ["policies/b"],
      not: ["policies/a", "policies/*"],
    },
    { rules: [RULE(["patch"], "", ["namespaces"])], where: "cluster", has: ["labels/*", "policies/*"] },
    { rules: [RULE(["get", "delete"], "", ["namespaces"])], where: "cluster", has: [], not: ["policies/*"] },
  ],
  "the status of pods has their labels and addresses": [
    {
      rules: [RULE(["patch"], "", ["pods/status"])],
      where: "a",
      has: ["policies/a", "network-policies/a", "traffic/a"],
      not: ["workload/a/other", "policies/b"],
    },
    { rules: [RULE(["update"], "", ["pods/status"])], where: "cluster", has: ["policies/*"] },
    { rules: [RULE(["get"], "", ["pods/status"])], where: "a", has: [], not: ["policies/a"] },
    { rules: [RULE(["create"], "", ["pods/eviction"])], where: "a", has: [], not: ["policies/a", "pods/a"] },
  ],
  "Services, Endpoints and EndpointSlices lead callers elsewhere, in kube-system those of the cluster's DNS":
    [
      ...[RULE(["patch"], "", ["services"]), RULE(["update"], "", ["endpoints"])].map((rule) => ({
        rules: [rule],
        where: "a",
        has: ["traffic/a"],
        not: ["traffic/b", "workload/a/other", "policies/a"],
      })),
      { rules: [RULE(["create"], "discovery.k8s.io", ["endpointslices"])], where: "a", has: ["traffic/a"] },
      {
        rules: [RULE(["update"], "", ["endpoints"])],
        where: "kube-system",
        has: ["traffic/*"],
        not: ["apiserver"],
      },
      { rules: [RULE(["update"], "", ["services"])], where: "cluster", has: ["traffic/*"] },
      { rules: [RULE(["get", "delete"], "", ["services"])], where: "a", has: [], not: ["traffic/a"] },
    ],
  "Istio's routes and hosts lead callers elsewhere: of every namespace, or of their own": [
    ...["virtualservices", "serviceentries"].map((resource) => ({
      rules: [RULE(["create"], ISTIO, [resource])],
      where: "a",
      has: ["traffic/*"],
      not: ["proxies/a", "policies/a"],
    })),
    ...["workloadentries", "sidecars"].map((resource) => ({
      rules: [RULE(["create"], ISTIO, [resource])],
      where: "a",
      has: ["traffic/a"],
      not: ["traffic/*", KEY("a", "other")],
    })),
    { rules: [RULE(["create"], ISTIO, ["sidecars"])], where: "istio-system", has: ["traffic/*"] },
    ...["destinationrules", "gateways", "workloadgroups"].map((resource) => ({
      rules: [RULE(["create"], ISTIO, [resource])],
      where: "a",
      has: [],
      not: ["traffic/a", "traffic/*", KEY("a", "other")],
    })),
    {
      rules: [RULE(["create"], "telemetry.istio.io", ["telemetries"])],
      where: "cluster",
      has: [],
      not: ["policies/*"],
    },
    {
      rules: [RULE(["create"], GATEWAYS, ["httproutes"])],
      where: "a",
      has: ["traffic/a"],
      not: ["traffic/*", KEY("a", "other")],
    },
  ],
  "ProxyConfigs set proxies' environment": [
    {
      rules: [RULE(["create"], ISTIO, ["proxyconfigs"])],
      where: "a",
      has: ["proxies/a", KEY("a", "other")],
      not: [KEY("b", "far")],
    },
  ],
  "Gateways of the Gateway API have istiod make pods: any, or with any account": [
    {
      rules: [RULE(["create"], GATEWAYS, ["gateways"]), RULE(["create"], "", ["configmaps"])],
      where: "a",
      has: ["pods/a", "token/a/other"],
      not: ["token/b/far"],
    },
    {
      rules: [RULE(["create"], GATEWAYS, ["gateways", "httproutes"])],
      where: "a",
      has: [KEY("a", "other")],
      not: ["pods/a", "token/a/other", KEY("b", "far")],
    },
    {
      rules: [RULE(["create"], GATEWAYS, ["gateways", "tcproutes"])],
      where: "cluster",
      has: [KEY("a", "other"), KEY("b", "far")],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["create"], GATEWAYS, ["gateways"])],
      where: "a",
      has: [],
      not: ["pods/a", KEY("a", "other")],
    },
  ],
  "Secrets that are written give the CA in the mesh's root namespace, the cluster in kube-system": [
    { rules: [RULE(["patch"], "", ["secrets"])], where: "istio-system", has: ["ca"], not: ["apiserver"] },
    { rules: [RULE(["create"], "", ["secrets"])], where: "kube-system", has: ["apiserver"] },
    { rules: [RULE(["update"], "", ["secrets"])], where: "cluster", has: ["ca", "apiserver"] },
    {
      rules: [RULE(["update", "create", "delete"], "", ["secrets"])],
      where: "a",
      has: [],
      not: ["ca", "secret/a/database"],
    },
    { rules: [RULE(["delete"], "", ["secrets"])], where: "cluster", has: [], not: ["ca", "secrets/*"] },
  ],
  "ConfigMaps of kube-system say who is who, and where names lead": [
    { rules: [RULE(["patch"], "", ["configmaps"])], where: "kube-system", has: ["apiserver"] },
    {
      rules: [RULE(["patch"], "", ["configmaps"], ["coredns"])],
      where: "kube-system",
      has: ["traffic/*"],
      not: ["apiserver"],
    },
    {
      rules: [RULE(["patch"], "", ["configmaps"], ["other"])],
      where: "kube-system",
      has: [],
      not: ["apiserver", "traffic/*"],
    },
  ],
  "volumes of nodes' folders are nothing without a pod": [
    {
      rules: [RULE(["create"], "", ["persistentvolumes"]), RULE(["create"], "", ["persistentvolumeclaims"])],
      where: "cluster",
      has: ["volumes/*"],
      not: ["node/*"],
    },
    { rules: [RULE(["update"], "", ["persistentvolumes"])], where: "cluster", has: [], not: ["volumes/*"] },
  ],
  "whoever sends through the API server is nobody": [
    ...["pods/proxy", "services/proxy"].map((resource) => ({
      rules: [RULE(["get"], "", [resource])],
      where: "a",
      has: ["proxied/a"],
      not: ["proxied/*", "inside/a", "network-policies/a"],
    })),
    { rules: [RULE(["get"], "", ["pods/log"])], where: "a", has: [], not: ["proxied/a"] },
  ],
  "objects of other kinds that make pods": [
    { rules: [RULE(["create"], "argoproj.io", ["rollouts"])], where: "a", has: ["pods/a"] },
    { rules: [RULE(["patch"], "apps.kruise.io", ["clonesets"])], where: "a", has: ["pods/a"] },
    { rules: [RULE(["update"], "apps.openshift.io", ["deploymentconfigs"])], where: "a", has: ["pods/a"] },
    { rules: [RULE(["update"], "argoproj.io", ["applications"])], where: "a", has: [], not: ["pods/a"] },
  ],
  "a verb that is a star makes nothing of a name": [
    { rules: [RULE(["*"], "", ["serviceaccounts"], ["x"])], where: "a", has: [], not: ["token/a/other"] },
    {
      rules: [RULE(["*"], "", ["persistentvolumes"], ["x"])],
      where: "cluster",
      has: [],
      not: ["volumes/*"],
    },
  ],
};

for (const [what, rows] of Object.entries(TABLE))
  test(what, () => {
    for (const { rules, where, has, not = [] } of rows) {
      const found = where === "cluster" ? held(rules, "cluster") : heldBy(roleIn(where, "a/app", rules));
      const text = `${where}: ${JSON.stringify(rules)}`;
      for (const id of has) assert.ok(found.has(id), `${text} lacks ${id}: ${[...found].join(" ")}`);
      for (const id of not) assert.ok(!found.has(id), `${text} has ${id}`);
    }
  });

function roleIn(namespace: string, account: string, rules: readonly Json[]): readonly Resource[] {
  const [of = "", name = ""] = account.split("/");
  const subjects = [{ kind: "ServiceAccount", namespace: of, name }];
  return [
    object(RBAC, "Role", namespace, `own-${name}`, { rules }),
    object(RBAC, "RoleBinding", namespace, `own-${name}`, {
      subjects,
      roleRef: { kind: "Role", name: `own-${name}` },
    }),
  ];
}

function everywhere(account: string, rules: readonly Json[]): readonly Resource[] {
  const [of = "", name = ""] = account.split("/");
  return [
    object(RBAC, "ClusterRole", "", `all-${name}`, { rules }),
    object(RBAC, "ClusterRoleBinding", "", `all-${name}`, {
      subjects: [{ kind: "ServiceAccount", namespace: of, name }],
      roleRef: { kind: "ClusterRole", name: `all-${name}` },
    }),
  ];
}

test("what one right needs of another counts where both are had: one everywhere, the other in a namespace", () => {
  const create = everywhere("a/app", [RULE(["create"], "", ["secrets"])]);
  const bind = everywhere("a/app", [RULE(["bind"], "rbac.authorization.k8s.io", ["clusterroles"])]);
  const read = roleIn("b", "a/app", [RULE(["get"], "", ["secrets"])]);
  const write = roleIn("b", "a/app", [RULE(["create"], "rbac.authorization.k8s.io", ["rolebindings"])]);
  // The CA comes of writing Secrets everywhere, which is beside the point here.
  assert.ok(heldBy([...create, ...read]).has("token/b/far"));
  const bound = heldBy([...bind, ...write]);
  assert.deepEqual([bound.has("pods/b"), bound.has("pods/a"), bound.has("apiserver")], [true, false, false]);
});

test("pods with volumes of nodes' folders, or with the namespace's label, come to every node, also by two accounts", () => {
  const pods = [RULE(["create"], "", ["pods"])];
  const volumes = [RULE(["create"], "", ["persistentvolumes"])];
  const labels = [RULE(["patch"], "", ["namespaces"])];
  const both = [...roleIn("a", "a/app", pods), ...everywhere("a/app", volumes)];
  assert.ok(heldBy(both).has("node/n1"), "one account");
  for (const helper of [everywhere("a/other", volumes), roleIn("a", "a/other", labels)]) {
    // A pod that it makes runs as the other.
    assert.ok(heldBy([...roleIn("a", "a/app", pods), ...helper]).has("node/n1"));
    assert.ok(!heldBy(helper, "a/other").has("node/n1"));
  }
  const ofAnother = [...roleIn("a", "a/app", pods), ...roleIn("b", "a/app", labels)];
  assert.ok(!heldBy(ofAnother).has("node/n1"), "another namespace's label");
});

test("who has a node and may drive pods to it has those that are made anew; without a node nothing comes of it", () => {
  const template = (name: string, spec: Json = {}): Json => ({
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [{ name: "c", image: "i" }], ...spec },
      },
    },
  });
  const mesh = buildMesh([
    ...BASE,
    pod("a", "agent", { nodeName: "n1", hostPID: true }),
    object("apps/v1", "Deployment", "b", "moved", template("moved")),
    object("apps/v1", "Deployment", "b", "pinned", template("pinned", { nodeName: "n2" })),
    object("apps/v1", "DaemonSet", "b", "everywhere", template("everywhere", { nodeName: "n2" })),
    ...everywhere("a/agent", [RULE(["patch"], "", ["nodes/status"])]),
    ...everywhere("a/other", [RULE(["update"], "", ["nodes"])]),
  ]);
  const index = new HoldingsIndex(new GainGraph(mesh));
  const ids = (start: string): ReadonlySet<string> => new Set(index.of(start).yields.map(({ id }) => id));
  const agent = ids("workload/a/agent");
  assert.deepEqual(
    ["moved", "pinned", "everywhere", "far"].map((name) => agent.has(`workload/b/${name}`)),
    [true, false, false, false],
  );
  assert.deepEqual([agent.has("node/n1"), agent.has("node/n2")], [true, false]);
  const other = ids("workload/a/other");
  assert.deepEqual([other.has("placement/*"), other.has("workload/b/moved")], [true, false]);
});

test("through the API server pods are reached that network policies close, by nobody: where mutual TLS is asked for, not", async () => {
  const server = (name: string): Resource =>
    pod("b", name, { containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] });
  const mesh = buildMesh([
    namespaceOf("a"),
    namespaceOf("b"),
    pod("a", "app"),
    server("open"),
    server("closed"),
    object("security.istio.io/v1", "PeerAuthentication", "b", "closed", {
      spec: { selector: { matchLabels: { app: "closed" } }, mtls: { mode: "STRICT" } },
    }),
    object("networking.k8s.io/v1", "NetworkPolicy", "b", "none", {
      spec: { podSelector: {}, policyTypes: ["Ingress"] },
    }),
    ...roleIn("b", "a/app", [RULE(["get"], "", ["pods/proxy"])]),
  ]);
  const model = new BlastModel(mesh, "istio");
  assert.deepEqual(namesIn(model, model.radiusOf("workload/a/app").reached), ["b/open"]);
  const { reaches } = await blastReport(model, "workload/a/app", { semantics: "istio", witnesses: 5 });
  assert.deepEqual(
    reaches.map(({ to, from, as, why }) => [to, from, as, why]),
    [["b/open", null, null, "the API server connects to it, as nobody"]],
  );
});

test("the built-in role `edit` has Services, ConfigMaps and the API server's way to pods", () => {
  const found = heldBy([
    object(RBAC, "RoleBinding", "b", "edits", {
      subjects: [{ kind: "ServiceAccount", namespace: "a", name: "app" }],
      roleRef: { kind: "ClusterRole", name: "edit" },
    }),
  ]);
  for (const id of ["traffic/b", "proxied/b"]) assert.ok(found.has(id), id);
  assert.ok(!found.has("ca"));
});
