/** Rights of accounts as RBAC gives them: each right with what it comes to, and beside it what lacks something and comes to nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GainGraph } from "../../../src/analysis/blast/gains.ts";
import { HoldingsIndex } from "../../../src/analysis/blast/holdings.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { BASE, held, heldBy, type Json, KEY, namespaceOf, object, pod, RBAC, RULE } from "./rbac-mesh.ts";

test("reading Secrets yields those of the namespace, those that are named, or the CA's too", () => {
  for (const verb of ["get", "list", "watch", "*"])
    assert.ok(held([RULE([verb], "", ["secrets"])]).has("secret/a/database"), verb);
  const named = held([RULE(["get"], "", ["secrets"], ["database"])]);
  assert.deepEqual([named.has("secret/a/database"), named.has("secret/a/old-token")], [true, false]);
  assert.ok(held([RULE(["list"], "", ["secrets"])], "cluster").has("ca"));
  assert.ok(!held([RULE(["create"], "", ["secrets"])]).has("secret/a/database"));
  assert.ok(!held([RULE(["get"], "example.com", ["secrets"])]).has("secret/a/database"));
  assert.ok(!held([RULE(["get"], "", ["secrets"])]).has("ca"));
});

test("running commands in pods yields the namespace's pods, and everywhere the cluster", () => {
  for (const [verb, resource] of [
    ["create", "pods/exec"],
    ["get", "pods/exec"],
    ["create", "pods/attach"],
    ["create", "*/exec"],
    ["patch", "pods/ephemeralcontainers"],
    ["patch", "pods"],
  ] as const) {
    const own = held([RULE([verb], "", [resource])]);
    assert.ok(own.has("workload/a/other") && own.has(KEY("a", "other")), resource);
    assert.ok(!own.has("workload/b/far"), resource);
  }
  assert.ok(held([RULE(["create"], "", ["pods/exec"])], "cluster").has("apiserver"));
  // RBAC knows no star behind the slash, and a pod's log runs nothing.
  for (const resource of ["pods/*", "pods/log"])
    assert.ok(!held([RULE(["create"], "", [resource])]).has("workload/a/other"), resource);
});

test("creating pods, or what makes them, yields every account and Secret of the namespace, and nodes where Pod Security lets privileged pods be", () => {
  for (const [group, resource] of [
    ["", "pods"],
    ["apps", "deployments"],
    ["apps", "daemonsets"],
    ["batch", "cronjobs"],
  ] as const) {
    const own = held([RULE(["create"], group, [resource])]);
    assert.ok(own.has("token/a/other") && own.has("secret/a/database"), resource);
    assert.deepEqual([own.has("node/*"), own.has("token/b/far")], [false, false], resource);
  }
  assert.ok(!held([RULE(["create"], "apps", ["pods"])]).has("token/a/other"), "another group");
  assert.ok(!held([RULE(["delete"], "", ["pods"])]).has("token/a/other"), "another verb");
  const inFreeNamespace = heldBy([
    object(RBAC, "Role", "b", "own", { rules: [RULE(["create"], "", ["pods"])] }),
    object(RBAC, "RoleBinding", "b", "own", {
      subjects: [{ kind: "ServiceAccount", namespace: "a", name: "app" }],
      roleRef: { kind: "Role", name: "own" },
    }),
  ]);
  assert.ok(inFreeNamespace.has("node/n1"));
});

test("who may change a namespace's labels takes Pod Security away before making pods", () => {
  const rules = [RULE(["create"], "", ["pods"]), RULE(["patch"], "", ["namespaces"])];
  assert.ok(held(rules).has("node/*"));
  assert.ok(!held([rules[1] ?? {}]).has("node/*"));
});

test("tokens and impersonation yield the accounts that are named, or all of the namespace", () => {
  const tokens = held([RULE(["create"], "", ["serviceaccounts/token"], ["other"])]);
  assert.ok(tokens.has("token/a/other") && tokens.has(KEY("a", "other")));
  assert.ok(!held([RULE(["create"], "", ["serviceaccounts/token"], ["else"])]).has("token/a/other"));
  const acting = held([RULE(["impersonate"], "", ["serviceaccounts"])]);
  // It has the other's rights, but nothing that the CA takes.
  assert.deepEqual([acting.has("account/a/other"), acting.has(KEY("a", "other"))], [true, false]);
  assert.ok(held([RULE(["impersonate"], "", ["users"])], "cluster").has("apiserver"));
  assert.ok(!held([RULE(["impersonate"], "", ["users"], ["reader"])], "cluster").has("apiserver"));
});

test("bind and escalate count with the right to write bindings or roles, and not without", () => {
  const bind = RULE(["bind"], "rbac.authorization.k8s.io", ["clusterroles"]);
  const write = RULE(["create"], "rbac.authorization.k8s.io", ["clusterrolebindings"]);
  assert.ok(held([bind, write], "cluster").has("apiserver"));
  assert.ok(!held([bind], "cluster").has("apiserver"));
  assert.ok(!held([write], "cluster").has("apiserver"));
  const escalate = RULE(["escalate", "update"], "rbac.authorization.k8s.io", ["roles"]);
  assert.ok(held([escalate]).has("pods/a"));
  assert.ok(!held([RULE(["update"], "rbac.authorization.k8s.io", ["roles"])]).has("pods/a"));
});

test("webhooks, kubelets and certificates yield the cluster, its nodes, or what is written", () => {
  const webhooks = "admissionregistration.k8s.io";
  assert.ok(
    held([RULE(["update"], webhooks, ["mutatingwebhookconfigurations"])], "cluster").has("apiserver"),
  );
  const seen = held([RULE(["create"], webhooks, ["validatingwebhookconfigurations"])], "cluster");
  assert.deepEqual([seen.has("apiserver"), seen.has("secrets/*")], [false, true]);
  assert.ok(held([RULE(["get"], "", ["nodes/proxy"])], "cluster").has("node/*"));
  assert.deepEqual(
    ["node/n1", "node/*"].map((id) => held([RULE(["get"], "", ["nodes/proxy"], ["n1"])], "cluster").has(id)),
    [true, false],
  );
  const csr = "certificates.k8s.io";
  const approving = [
    RULE(["create"], csr, ["certificatesigningrequests"]),
    RULE(["update"], csr, ["certificatesigningrequests/approval"]),
    RULE(["approve"], csr, ["signers"]),
  ];
  assert.ok(held(approving, "cluster").has("apiserver"));
  assert.ok(!held(approving.slice(0, 2), "cluster").has("apiserver"));
});

test("writing the mesh's policies, proxies and settings loosens what it is about", () => {
  assert.ok(held([RULE(["delete"], "security.istio.io", ["authorizationpolicies"])]).has("policies/a"));
  assert.ok(!held([RULE(["get"], "security.istio.io", ["authorizationpolicies"])]).has("policies/a"));
  const filters = held([RULE(["create"], "networking.istio.io", ["envoyfilters"])]);
  assert.deepEqual([filters.has("sidecar/a/other"), filters.has("sidecar/b/far")], [true, false]);
  assert.ok(held([RULE(["patch"], "", ["configmaps"])], "cluster").has("ca"));
  assert.ok(!held([RULE(["patch"], "", ["configmaps"])]).has("ca"));
  assert.ok(held([RULE(["create"], "networking.k8s.io", ["networkpolicies"])]).has("network-policies/a"));
});

test("bindings hold for accounts by name, by group and as users, and aggregated roles have what they select", () => {
  const rules = [RULE(["get"], "", ["secrets"])];
  const role = object(RBAC, "ClusterRole", "", "reader", { labels: { part: "yes" }, rules });
  const bound = (subject: Json, name = "reader"): ReadonlySet<string> =>
    heldBy([
      role,
      object(RBAC, "ClusterRole", "", "all", {
        rules: [],
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: "yes" } }] },
      }),
      object(RBAC, "RoleBinding", "a", "b", { subjects: [subject], roleRef: { kind: "ClusterRole", name } }),
    ]);
  for (const [subject, expected] of [
    [{ kind: "ServiceAccount", name: "app" }, true],
    [{ kind: "ServiceAccount", name: "app", namespace: "b" }, false],
    [{ kind: "Group", name: "system:serviceaccounts" }, true],
    [{ kind: "Group", name: "system:serviceaccounts:a" }, true],
    [{ kind: "Group", name: "system:serviceaccounts:b" }, false],
    [{ kind: "Group", name: "system:authenticated" }, true],
    [{ kind: "User", name: "system:serviceaccount:a:app" }, true],
    [{ kind: "User", name: "app" }, false],
  ] as const)
    assert.equal(bound(subject).has("secret/a/database"), expected, JSON.stringify(subject));
  assert.ok(bound({ kind: "ServiceAccount", name: "app" }, "all").has("secret/a/database"));
  assert.ok(
    bound({ kind: "ServiceAccount", name: "app" }, "edit").has("pods/a"),
    "a role that every cluster has",
  );
  assert.ok(!bound({ kind: "ServiceAccount", name: "app" }, "view").has("secret/a/database"));
});

test("aggregated roles select by expressions, too, and those that every cluster has by the labels that Kubernetes gives them", () => {
  const app = { kind: "ServiceAccount", name: "app" };
  const part = (labels: Json): Resource =>
    object(RBAC, "ClusterRole", "", "part", { labels, rules: [RULE(["get"], "", ["secrets"])] });
  const bound = (name: string, ...roles: readonly Resource[]): ReadonlySet<string> =>
    heldBy([
      ...roles,
      object(RBAC, "RoleBinding", "a", "b", { subjects: [app], roleRef: { kind: "ClusterRole", name } }),
    ]);
  const all = (operator: string, values?: readonly string[]): Resource =>
    object(RBAC, "ClusterRole", "", "all", {
      aggregationRule: {
        clusterRoleSelectors: [
          { matchExpressions: [{ key: "part", operator, ...(values === undefined ? {} : { values }) }] },
        ],
      },
    });
  const has = (held: ReadonlySet<string>): boolean => held.has("secret/a/database");
  assert.ok(has(bound("all", all("Exists"), part({ part: "x" }))));
  assert.ok(!has(bound("all", all("Exists"), part({ other: "x" }))));
  assert.ok(has(bound("all", all("In", ["x", "y"]), part({ part: "x" }))));
  assert.ok(!has(bound("all", all("NotIn", ["x"]), part({ part: "x" }))));
  const label = (to: string, value = "true"): Json => ({
    [`rbac.authorization.k8s.io/aggregate-to-${to}`]: value,
  });
  assert.ok(has(bound("view", part(label("view")))));
  assert.ok(!has(bound("view", part(label("edit")))));
  assert.ok(!has(bound("view", part(label("view", "false")))));
  const exec = object(RBAC, "ClusterRole", "", "part", {
    labels: label("view"),
    rules: [RULE(["delete"], "security.istio.io", ["authorizationpolicies"])],
  });
  for (const name of ["view", "edit", "admin"]) assert.ok(bound(name, exec).has("policies/a"), name);
  assert.ok(!bound("edit").has("policies/a"));
});

test("who makes Secrets and reads them has tokens of every account of the namespace", () => {
  const both = held([RULE(["create", "get"], "", ["secrets"])]);
  assert.deepEqual([both.has("token/a/other"), both.has("token/b/far")], [true, false]);
  assert.ok(held([RULE(["create"], "", ["secrets"]), RULE(["watch"], "", ["secrets"])]).has("token/a/other"));
  assert.ok(!held([RULE(["create"], "", ["secrets"])]).has("token/a/other"));
  assert.ok(!held([RULE(["get", "update"], "", ["secrets"])]).has("token/a/other"));
  assert.ok(held([RULE(["create", "get"], "", ["secrets"])], "cluster").has("apiserver"));
});

test("an account that is impersonated as the user that it is gives its rights; one of kube-system, the cluster", () => {
  const as = (name: string): ReadonlySet<string> =>
    held([RULE(["impersonate"], "", ["users"], [name])], "cluster");
  assert.ok(as("system:serviceaccount:kube-system:clusterrole-aggregation-controller").has("apiserver"));
  const other = as("system:serviceaccount:a:other");
  assert.deepEqual([other.has("account/a/other"), other.has("apiserver")], [true, false]);
  assert.ok(!as("reader").has("account/a/other"));
});

test("tokens are mounted unless the pod, or else its account, says otherwise; projected ones always", () => {
  const tokens = (account: Json, spec: Json): boolean => {
    const resources = [...BASE, object("v1", "ServiceAccount", "a", "own", account), pod("a", "own", spec)];
    const index = new HoldingsIndex(new GainGraph(buildMesh(resources)));
    return index.of("workload/a/own").yields.some(({ id }) => id === "token/a/own");
  };
  const off = { automountServiceAccountToken: false };
  const projecting = (token: Json): Json => ({
    ...off,
    volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: token }] } }],
  });
  assert.equal(tokens({}, {}), true);
  assert.equal(tokens(off, {}), false);
  assert.equal(tokens({}, off), false);
  assert.equal(tokens(off, { automountServiceAccountToken: true }), true);
  assert.equal(tokens({}, projecting({ path: "token" })), true);
  assert.equal(tokens({}, projecting({ path: "token", audience: "istio-ca" })), false);
});

test("privileged pods, hostPath, hostNetwork, hostPID and runtimes' sockets reach the pod's node", () => {
  const reaches = (spec: Json): boolean => {
    const index = new HoldingsIndex(
      new GainGraph(buildMesh([...BASE, pod("a", "own", { nodeName: "n1", ...spec })])),
    );
    return index.of("workload/a/own").yields.some(({ id }) => id === "node/n1");
  };
  assert.equal(reaches({}), false);
  assert.equal(reaches({ hostPID: true }), true);
  assert.equal(reaches({ hostNetwork: true }), true);
  assert.equal(reaches({ volumes: [{ name: "r", hostPath: { path: "/var/run/docker.sock" } }] }), true);
  assert.equal(reaches({ volumes: [{ name: "r", emptyDir: {} }] }), false);
  assert.equal(
    reaches({ containers: [{ name: "c", image: "i", securityContext: { privileged: true } }] }),
    true,
  );
  assert.equal(
    reaches({ containers: [{ name: "c", image: "i", securityContext: { privileged: false } }] }),
    false,
  );
});

test("a rule that names objects makes none of them, whatever subresources it is for besides", () => {
  const both = held([RULE(["create"], "", ["pods", "pods/exec"], ["other"])]);
  assert.deepEqual([both.has("pods/a"), both.has("workload/a/other")], [false, true]);
  // A star covers subresources of what is there, too.
  assert.ok(held([RULE(["create"], "", ["*"], ["other"])]).has("token/a/other"));
});

test("rights of who shows no token are those of every pod, with a token and without", () => {
  const nobodys = (subject: Json): readonly Resource[] => [
    object(RBAC, "ClusterRoleBinding", "", "open", {
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", ...subject }],
      roleRef: { kind: "ClusterRole", name: "cluster-admin" },
    }),
    pod("a", "tokenless", { automountServiceAccountToken: false }),
  ];
  for (const subject of [
    { kind: "User", name: "system:anonymous" },
    { kind: "Group", name: "system:unauthenticated" },
  ]) {
    const index = new HoldingsIndex(new GainGraph(buildMesh([...BASE, ...nobodys(subject)])));
    for (const id of ["workload/a/app", "workload/a/tokenless", "sidecar/a/tokenless"])
      assert.ok(index.of(id).isAll, `${subject.name}: ${id}`);
  }
  const others = nobodys({ kind: "User", name: "somebody" });
  const index = new HoldingsIndex(new GainGraph(buildMesh([...BASE, ...others])));
  assert.deepEqual(
    index.of("workload/a/tokenless").yields.map(({ id }) => id),
    ["workload/a/tokenless", KEY("a", "tokenless")],
  );
});

test("who makes pods where none is has the account that every namespace has", () => {
  const own = heldBy([
    namespaceOf("tools", "restricted"),
    object(RBAC, "Role", "tools", "own", { rules: [RULE(["create"], "", ["pods"])] }),
    object(RBAC, "RoleBinding", "tools", "own", {
      subjects: [{ kind: "ServiceAccount", namespace: "a", name: "app" }],
      roleRef: { kind: "Role", name: "own" },
    }),
  ]);
  assert.ok(own.has(KEY("tools", "default")));
  assert.ok(!own.has(KEY("a", "default")));
});
