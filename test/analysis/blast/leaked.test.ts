/** Keys and tokens that leaked: what they yield, and where they are taken. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HoldingId } from "../../../src/analysis/blast/component.ts";
import { findComponent } from "../../../src/analysis/blast/component.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { type BlastReport, blastReport, namesIn } from "../../../src/analysis/blast/report.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { withFederation } from "../../../src/model/mesh-config.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { type Json, KEY, namespaceOf, object, RBAC, RULE } from "./rbac-mesh.ts";

const server = (namespace: string, name: string): Resource =>
  object("v1", "Pod", namespace, name, {
    labels: { app: name },
    spec: {
      serviceAccountName: name,
      automountServiceAccountToken: false,
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }],
    },
  });
const allowing = (namespace: string, app: string, source?: Json): Resource =>
  object("security.istio.io/v1", "AuthorizationPolicy", namespace, app, {
    spec: {
      selector: { matchLabels: { app } },
      ...(source === undefined ? {} : { rules: [{ from: [{ source }] }] }),
    },
  });
const strict = (namespace: string): Resource =>
  object("security.istio.io/v1", "PeerAuthentication", namespace, "default", {
    spec: { mtls: { mode: "STRICT" } },
  });
const settings = (mesh: string): Resource =>
  object("v1", "ConfigMap", "istio-system", "istio", { data: { mesh } });
const ambient = object("v1", "Namespace", "", "amb", { labels: { "istio.io/dataplane-mode": "ambient" } });

/** `front` is for b/caller by name, `back` for a namespace, `any` for every identity, `shut` for nobody. */
const BASE: readonly Resource[] = [
  namespaceOf("a"),
  namespaceOf("b"),
  ambient,
  strict("a"),
  strict("b"),
  strict("amb"),
  ...["front", "back", "any", "shut"].map((name) => server("a", name)),
  server("b", "caller"),
  server("amb", "pod"),
  allowing("a", "front", { principals: ["cluster.local/ns/b/sa/caller", "cluster.local/ns/b/sa/ghost"] }),
  allowing("a", "back", { namespaces: ["b"] }),
  allowing("a", "shut"),
  allowing("b", "caller"),
  allowing("amb", "pod", { principals: ["cluster.local/ns/b/sa/ghost"] }),
];

function modelOf(
  component: HoldingId,
  more: readonly Resource[] = [],
  semantics: Semantics = "istio",
  change: (mesh: Mesh) => Mesh = (mesh) => mesh,
): BlastModel {
  return new BlastModel(change(buildMesh([...BASE, ...more])), semantics, component);
}

function reached(
  component: HoldingId,
  more?: readonly Resource[],
  ...rest: [semantics?: Semantics, change?: (mesh: Mesh) => Mesh]
): readonly string[] {
  const model = modelOf(component, more, ...rest);
  return namesIn(model, model.radiusOf(component).reached);
}

function controlled(component: HoldingId, more?: readonly Resource[]): readonly string[] {
  const model = modelOf(component, more);
  return namesIn(model, model.radiusOf(component).controlled);
}

function reportOn(component: HoldingId, more?: readonly Resource[]): Promise<BlastReport> {
  return blastReport(modelOf(component, more), component, { semantics: "istio", witnesses: 20 });
}

test("a key acts as its account's workloads, and is let in where policies let that account in", () => {
  const key = KEY("b", "caller");
  assert.deepEqual(controlled(key), ["b/caller"]);
  assert.deepEqual(reached(key), ["a/any", "a/back", "a/front"]);
});

test("a key is used from nobody knows where: network policies count as open, and its step names no pod", async () => {
  const closed = object("networking.k8s.io/v1", "NetworkPolicy", "a", "none", {
    spec: { podSelector: {}, policyTypes: ["Ingress"] },
  });
  assert.deepEqual(reached(KEY("b", "caller"), [closed]), ["a/any", "a/back", "a/front"]);
  assert.deepEqual(reached("workload/b/caller", [closed]), []);
  const report = await reportOn(KEY("b", "caller"), [closed]);
  assert.equal(report.position.kind, "anywhere");
  assert.deepEqual([...new Set(report.reaches.map(({ from }) => from))], [null]);
  assert.deepEqual(report.mayAskFor, []);
});

test("a key of an account that policies name and no pod uses is let in by them, in ambient mode as well", () => {
  const key = KEY("b", "ghost");
  assert.deepEqual(controlled(key), []);
  assert.deepEqual(reached(key), ["a/any", "a/back", "a/front", "amb/pod"]);
  // One that nobody names, of a namespace that nobody names.
  assert.deepEqual(reached(KEY("c", "ghost")), ["a/any"]);
});

test("an account that files have and no pod uses counts where its token may be made", () => {
  const more = [
    object("v1", "ServiceAccount", "b", "ghost"),
    object(RBAC, "Role", "b", "mints", {
      rules: [RULE(["create"], "", ["serviceaccounts/token"], ["ghost"])],
    }),
    object(RBAC, "RoleBinding", "b", "mints", {
      subjects: [{ kind: "ServiceAccount", name: "caller" }],
      roleRef: { kind: "Role", name: "mints" },
    }),
  ];
  assert.ok(reached("token/b/caller", more).includes("amb/pod"));
  assert.ok(!reached("token/b/caller").includes("amb/pod"));
});

test("a key of another trust domain is taken nowhere, of an alias for the mesh's own, of a federated one by Bulwark alone", () => {
  const other: HoldingId = "key/other.example/ns/b/sa/caller";
  assert.deepEqual([controlled(other), reached(other)], [[], []]);
  const aliased = [settings("trustDomainAliases: [other.example]\n")];
  assert.deepEqual(controlled(other, aliased), ["b/caller"]);
  assert.deepEqual(reached(other, aliased), ["a/any", "a/back", "a/front"]);
  // A ztunnel takes no alias.
  const ghost: HoldingId = "key/other.example/ns/b/sa/ghost";
  assert.deepEqual(reached(ghost, aliased), ["a/any", "a/back", "a/front"]);
  const federate = (mesh: Mesh): Mesh => ({
    ...mesh,
    config: withFederation(mesh.config, ["other.example"]),
  });
  assert.deepEqual(reached(other, [], "istio", federate), []);
  assert.ok(reached(other, [], "strict", federate).includes("a/any"));
  assert.deepEqual(reached(other, [], "strict"), []);
});

test("Istio's gateways that ask for the mesh's TLS take whom its roots have signed: a key of another trust domain, too", () => {
  const gateway = [
    object("v1", "Pod", "a", "gate", {
      labels: { istio: "gate" },
      spec: {
        serviceAccountName: "gate",
        containers: [{ name: "istio-proxy", image: "i", args: ["proxy", "router"] }],
      },
    }),
    object("networking.istio.io/v1", "Gateway", "a", "own", {
      spec: {
        selector: { istio: "gate" },
        servers: [
          {
            port: { number: 443, name: "tls", protocol: "TLS" },
            tls: { mode: "ISTIO_MUTUAL" },
            hosts: ["*"],
          },
        ],
      },
    }),
  ];
  const other: HoldingId = "key/other.example/ns/b/sa/caller";
  assert.deepEqual(reached(other, gateway), ["a/gate"]);
  assert.deepEqual(reached(other, gateway, "strict"), []);
  const policy = (principal: string): Resource =>
    object("security.istio.io/v1", "AuthorizationPolicy", "a", "gate", {
      spec: {
        selector: { matchLabels: { istio: "gate" } },
        rules: [{ from: [{ source: { principals: [principal] } }] }],
      },
    });
  assert.deepEqual(reached(other, [...gateway, policy("other.example/ns/b/sa/caller")]), ["a/gate"]);
  assert.deepEqual(reached(other, [...gateway, policy("cluster.local/ns/b/sa/caller")]), []);
});

test("a token yields its account's rights and, of the CA, its key: an ambient pod's, and those of Secrets", async () => {
  const report = await reportOn("token/amb/pod");
  assert.deepEqual(report.gained.key, ["cluster.local/ns/amb/sa/pod"]);
  assert.deepEqual(report.gained.account, ["amb/pod"]);
  assert.deepEqual(report.controls, ["amb/pod"]);
  assert.deepEqual(report.mayAskFor, ["cluster.local/ns/amb/sa/pod"]);
  const rights = [
    object("v1", "Secret", "a", "database", { type: "Opaque" }),
    object(RBAC, "Role", "a", "reads", { rules: [RULE(["get"], "", ["secrets"])] }),
    object(RBAC, "RoleBinding", "a", "reads", {
      subjects: [{ kind: "ServiceAccount", namespace: "amb", name: "pod" }],
      roleRef: { kind: "Role", name: "reads" },
    }),
  ];
  assert.deepEqual((await reportOn("token/amb/pod", rights)).gained.secret, ["a/database"]);
  // A key is nothing to the API server.
  assert.deepEqual((await reportOn(KEY("amb", "pod"), rights)).gained, {});
  // Its pod has no token of it: nothing is mounted.
  assert.deepEqual((await reportOn("workload/amb/pod", rights)).gained.secret, undefined);
});

test("a token of an account that no file has yields its key, and the rights of every account", async () => {
  const everybody = [
    object("v1", "Secret", "a", "database", { type: "Opaque" }),
    object(RBAC, "Role", "a", "reads", { rules: [RULE(["get"], "", ["secrets"])] }),
    object(RBAC, "RoleBinding", "a", "reads", {
      subjects: [{ kind: "Group", name: "system:serviceaccounts" }],
      roleRef: { kind: "Role", name: "reads" },
    }),
  ];
  const report = await reportOn("token/b/ghost", everybody);
  assert.deepEqual(report.gained.key, ["cluster.local/ns/b/sa/ghost"]);
  assert.deepEqual(report.gained.secret, ["a/database"]);
  assert.deepEqual(report.controls, []);
  assert.deepEqual(report.reaches.map(({ to }) => to).sort(), ["a/any", "a/back", "a/front", "amb/pod"]);
});

test("of an account that no file has, and of another trust domain, it is said", async () => {
  const also = async (id: HoldingId): Promise<readonly string[]> => (await reportOn(id)).also;
  assert.deepEqual(await also(KEY("b", "caller")), []);
  assert.deepEqual(await also("token/b/caller"), []);
  assert.deepEqual(await also("token/b/ghost"), ["no file has its account"]);
  assert.deepEqual(await also("key/other.example/ns/b/sa/caller"), [
    "it is of another trust domain, which no sidecar, waypoint or ztunnel takes",
  ]);
});

test("what could be no key or token is refused, and a token itself is not repeated", () => {
  const known = new Set(["workload/a/b"]);
  for (const id of [
    "key/cluster.local/ns/a/sa/b",
    "key/spiffe://cluster.local/ns/a/sa/b",
    "key/other.example/ns/a/sa/b.c",
    "token/a/b",
  ])
    assert.ok("id" in findComponent(id, known), id);
  for (const [id, message] of [
    ["key/app", /^`key\/app` is no key: write key\/<trust domain>/],
    ["key/cluster.local/ns/a/sa/b/more", /is no key/],
    ["key/cluster.local/ns//sa/b", /is no key/],
    ["key/Cluster.Local/ns/a/sa/b", /is no key/],
    ["key/cluster.local/ns/a b/sa/b", /is no key/],
    ["key/cluster.local/ns/a/sa/..", /is no key/],
    ["key/cluster.local/ns/A/sa/b", /is no key/],
    ["spiffe://cluster.local/ns/a/sa/b", /is no key: write key\//],
    ["token/a", /^`token\/a` is no token: write token\/<namespace>\/<account>/],
    ["token/a/b/c", /is no token/],
    ["token//b", /is no token/],
    ["token/a/B", /is no token/],
    ["wrkload/a/b", /there is no component/],
  ] as const) {
    const found = findComponent(id, known);
    assert.match("problem" in found ? found.problem : "", message, id);
  }
  const pasted = findComponent(`token/eyJhbGciOiJSUzI1NiJ9.${"x".repeat(300)}.signature`, known);
  assert.ok("problem" in pasted && !pasted.problem.includes("xxx"));
});
