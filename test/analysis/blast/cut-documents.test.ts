/** What a cut writes is what the API server takes, replaces nothing else, and holds for nobody else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Change, changeYaml, documentWith } from "../../../src/analysis/blast/cut/change.ts";
import { networkChanges } from "../../../src/analysis/blast/cut/network-changes.ts";
import { StepGraph } from "../../../src/analysis/blast/cut/step-graph.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";
import { type Json, namespaceOf, object, pod } from "./rbac-mesh.ts";

const STRICT = object("security.istio.io/v1", "PeerAuthentication", "a", "default", {
  spec: { mtls: { mode: "STRICT" } },
});
const port = { containers: [{ name: "c", image: "i", ports: [{ containerPort: 8080 }] }] };

function denies(resources: readonly Resource[]): readonly Change[] {
  const model = new BlastModel(buildMesh([namespaceOf("a"), STRICT, ...resources]), "istio");
  return [...new StepGraph(model, "workload/a/thief").changes.values()].filter(
    ({ id }) => id.startsWith("deny cluster.local/ns/a/sa/thief at ") && !id.endsWith("/thief"),
  );
}
const nameOf = (change: Change | undefined): string =>
  String((change?.document.metadata as Json | undefined)?.name);

test("a new policy replaces none that has its name, and a long name is cut and still its own", () => {
  const plain = [pod("a", "thief", port), pod("a", "open", port)];
  assert.equal(nameOf(denies(plain)[0]), "open-not-a-thief");
  const taken = object("security.istio.io/v1", "AuthorizationPolicy", "a", "open-not-a-thief", {
    spec: {
      selector: { matchLabels: { app: "thief" } },
      action: "DENY",
      rules: [{ to: [{ operation: { ports: ["1"] } }] }],
    },
  });
  assert.match(nameOf(denies([...plain, taken])[0]), /^open-not-a-thief-[0-9a-f]{8}$/);
  const long = ["x", "y"].map((end) =>
    pod("a", `${"n".repeat(251)}-${end}`, { ...port, serviceAccountName: "open" }),
  );
  const labelled = long.map((own, at) =>
    resourceFromJson(
      { ...own.body, metadata: { ...(own.body.metadata as Json), labels: { app: `l${at}` } } },
      { file: "test", createdAt: 0 },
    ),
  );
  const names = denies([pod("a", "thief", port), ...labelled]).map(nameOf);
  assert.equal(new Set(names).size, 2);
  for (const name of names) assert.match(name, /^n+-[0-9a-f]{8}$/);
});

test("a workload that its labels do not tell from another gets no policy of its own", () => {
  const labelled = (name: string, labels: Json): Resource =>
    object("v1", "Pod", "a", name, { labels, spec: { serviceAccountName: name, ...port } });
  const thief = pod("a", "thief", port);
  assert.deepEqual(denies([thief, labelled("bare", {})]), []);
  const versions = [labelled("one", { app: "s", version: "1" }), labelled("two", { app: "s", version: "2" })];
  assert.deepEqual(
    denies([thief, ...versions]).map(
      ({ document }) => (document.spec as { selector: { matchLabels: Json } }).selector.matchLabels,
    ),
    [
      { app: "s", version: "1" },
      { app: "s", version: "2" },
    ],
  );
});

test("a workload that a network policy isolates gets no other, which would let in more", () => {
  const allow = object("security.istio.io/v1", "AuthorizationPolicy", "a", "vault", {
    spec: {
      selector: { matchLabels: { app: "vault" } },
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/a/sa/agent"] } }] }],
    },
  });
  const isolating = object("networking.k8s.io/v1", "NetworkPolicy", "a", "n", {
    spec: { podSelector: { matchLabels: { app: "vault" } }, ingress: [{ ports: [{ port: 8080 }] }] },
  });
  const mesh = [namespaceOf("a"), STRICT, pod("a", "agent", port), pod("a", "vault", port), allow];
  const closing = (resources: readonly Resource[]): readonly string[] =>
    networkChanges(new BlastModel(buildMesh(resources), "istio"), "key/cluster.local/ns/a/sa/agent").map(
      ({ id }) => id,
    );
  assert.ok(closing(mesh).includes("network a/vault"));
  assert.ok(!closing([...mesh, isolating]).includes("network a/vault"));
});

test("a changed resource keeps labels and annotations, has its namespace, and nothing that the API server writes", () => {
  const metadata = {
    name: "r",
    labels: { "app.kubernetes.io/managed-by": "Helm" },
    annotations: {
      "meta.helm.sh/release-name": "x",
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
    },
    creationTimestamp: "2026-01-01T00:00:00Z",
    resourceVersion: "7",
    uid: "u",
    generation: 2,
    managedFields: [],
  };
  const role = resourceFromJson(
    { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata, rules: [], status: {} },
    { file: "test", createdAt: 0 },
  );
  const { annotations, labels, creationTimestamp } = metadata;
  assert.deepEqual(documentWith(role, ["rules"], [{ verbs: ["get"] }]), {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: {
      name: "r",
      labels,
      creationTimestamp,
      namespace: role.namespace,
      annotations: { "meta.helm.sh/release-name": annotations["meta.helm.sh/release-name"] },
    },
    rules: [{ verbs: ["get"] }],
  });
  const change = { id: "i", weight: 1, title: "t", takes: "what is lost", document: {} };
  assert.match(changeYaml(change), /^# t\n# Takes: what is lost\n/);
});
