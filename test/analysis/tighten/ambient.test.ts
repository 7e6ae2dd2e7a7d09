import assert from "node:assert/strict";
import { test } from "node:test";
import { diffAccess } from "../../../src/analysis/diff/diff-access.ts";
import { proposeNetworkPolicies } from "../../../src/analysis/tighten/network.ts";
import { readBulwarkFlow } from "../../../src/analysis/tighten/read-bulwark-flow.ts";
import { WorkloadNames } from "../../../src/analysis/tighten/workload-names.ts";
import type { FlowRecord } from "../../../src/model/flow-record.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { httpAttributes } from "../../../src/policy/ambient/l4-rule.ts";
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod, type Tightened, tighten } from "./tighten-fixture.ts";

const SLEEP = "cluster.local/ns/foo/sa/sleep";
const ADMIN = "cluster.local/ns/bar/sa/admin";

/** foo is in ambient mode, bar behind sidecars. */
function ambientMesh(...resources: readonly Resource[]): Mesh {
  const labels = { "istio.io/dataplane-mode": "ambient" };
  return meshOf(
    resource("Namespace", "foo", {}, { namespace: "", labels, body: { metadata: { labels } } }),
    pod("foo", "sleep"),
    pod("bar", "admin"),
    ...resources,
  );
}

function rulesOf({ proposal }: Tightened, name: string): AuthorizationSpec["rules"] {
  const found = proposal.mesh.authorizationPolicies.find((own) => own.name === name);
  return (found?.spec as AuthorizationSpec | undefined)?.rules;
}

const RECORD: FlowRecord = {
  id: "ztunnel a@1:0",
  time: "2026-11-02T09:00:00Z",
  kind: "connection",
  reporter: "ztunnel node-a",
  direction: "inbound",
  verdict: "allow",
  protocol: "tcp",
  source: { workload: "foo/sleep", principal: SLEEP, ip: "10.30.3.5" },
  destination: { workload: "foo/httpbin", port: 8080 },
  policy: null,
  rule: null,
};

test("a ztunnel's record is of the pod that it served, and of none that it serves not", () => {
  const names = new WorkloadNames(ambientMesh());
  const reading = readBulwarkFlow(RECORD, names);
  assert.deepEqual(reading, {
    kind: "server",
    workload: "foo/httpbin",
    port: 8080,
    caller: { principal: SLEEP, by: "certificate", ip: "10.30.3.5" },
    http: null,
    isOpaque: true,
    timeMs: Date.parse(RECORD.time),
  });
  const sidecar = readBulwarkFlow({ ...RECORD, destination: { workload: "bar/admin", port: 8080 } }, names);
  assert.deepEqual(sidecar, { kind: "left-out", why: "unknown-workload", about: "ztunnel node-a" });
  const denied = readBulwarkFlow({ ...RECORD, verdict: "deny" }, names);
  assert.equal(denied.kind === "left-out" && denied.why, "denied");
});

test("what ztunnel enforces names callers and ports, and nothing of HTTP, whatever logs tell: proven, and asked again", async () => {
  const mesh = ambientMesh();
  const flows = [flow("/a"), flow(null), flow("/b", { principal: ADMIN, method: "POST" })];
  const tightened = await tighten(mesh, flows);
  assert.deepEqual(rulesOf(tightened, "httpbin-as-seen"), [
    { from: [{ source: { principals: [ADMIN, SLEEP] } }], to: [{ operation: { ports: ["8080"] } }] },
  ]);
  const [server] = tightened.proposal.servers;
  assert.deepEqual(server?.proof, { kind: "proven" });
  assert.ok((server?.lost.length ?? 0) > 0);
  assert.deepEqual(tightened.replay, { records: 3, uncertain: 0, decided: 2, refused: [] });
});

test("at ztunnel today's rules are those that it has: addresses and the like stay, rules about requests let nobody in", async () => {
  const rules = [
    { from: [{ source: { namespaces: ["foo"], ipBlocks: ["10.30.0.0/16"] } }] },
    { to: [{ operation: { methods: ["GET"] } }] },
  ];
  const tightened = await tighten(ambientMesh(authorization("own", { rules })), [
    flow("/a"),
    flow("/a", { principal: ADMIN }),
  ]);
  assert.deepEqual(rulesOf(tightened, "httpbin-as-seen"), [
    {
      from: [{ source: { ipBlocks: ["10.30.0.0/16"], principals: [SLEEP] } }],
      to: [{ operation: { ports: ["8080"] } }],
    },
  ]);
  assert.deepEqual(
    [...tightened.evidence.contradictions.values()].map(({ requests }) => requests),
    [1],
  );
  const deny = { action: "DENY", rules: [{ to: [{ operation: { methods: ["PUT"], ports: ["8080"] } }] }] };
  const refused = await tighten(ambientMesh(authorization("deny", deny)), [flow("/a")]);
  assert.equal(refused.evidence.contradictions.size, 1, "a DENY that loses its method refuses all");
});

test("policies that are shared by both modes are narrowed for each as it reads them, and nothing gets wider", async () => {
  const rules = [{ from: [{ source: { namespaces: ["foo", "bar"] } }] }];
  const mesh = ambientMesh(authorization("all", { rules }, { namespace: "istio-system" }));
  const { proposal, replay } = await tighten(mesh, [
    flow("/a"),
    flow("/a", { workload: "bar/admin" }),
    flow("/a", { workload: "bar/admin", method: "PUT", principal: "cluster.local/ns/foo/sa/httpbin" }),
  ]);
  assert.deepEqual(
    proposal.servers.map(({ workloads }) => workloads.join()),
    ["foo/httpbin", "bar/admin"],
  );
  assert.deepEqual(replay.refused, []);
  const { changes } = diffAccess(mesh, proposal.mesh, { semantics: "istio", regionLimit: 100 });
  assert.deepEqual(
    changes.filter(({ change }) => change === "widened"),
    [],
  );
  const ofAmbient = proposal.servers[0]?.grants.flatMap(({ operations }) => operations);
  assert.ok(ofAmbient?.every(({ methods, paths }) => methods === null && paths === null));
  const written = proposal.mesh.authorizationPolicies.find(({ name }) => name === "httpbin-as-seen");
  assert.ok(written);
  const { rules: ofZtunnel = [] } = written.spec as AuthorizationSpec;
  assert.ok(ofZtunnel.length > 0);
  assert.deepEqual(ofZtunnel.flatMap(httpAttributes), []);
});

test("labels that are those of workloads in both modes are left alone: one policy cannot be for both", async () => {
  const labels = { app: "twin" };
  const out = { ...labels, "istio.io/dataplane-mode": "none", "sidecar.istio.io/inject": "true" };
  const mesh = ambientMesh(pod("foo", "one", labels), pod("foo", "two", out));
  const { proposal } = await tighten(mesh, [flow("/a", { workload: "foo/one" })]);
  assert.deepEqual(
    proposal.servers.map(({ workloads }) => workloads),
    [],
  );
  assert.ok(
    proposal.untouched.some(({ workloads, why }) => workloads.includes("foo/one") && why.includes("ztunnel")),
    JSON.stringify(proposal.untouched),
  );
});

test("no NetworkPolicy is written where tunnels lead: it would name the ports that are asked for, and close those of the tunnels", async () => {
  const mesh = ambientMesh(pod("bar", "server"));
  const { proposal } = await tighten(mesh, [
    flow("/a"),
    flow("/a", { workload: "bar/admin" }),
    flow("/a", { workload: "bar/server", principal: ADMIN }),
  ]);
  const { changes, untouched } = await proposeNetworkPolicies(mesh, proposal.servers);
  assert.deepEqual(
    changes.map(({ manifest }) => manifest.metadata.name),
    ["server-as-seen"],
  );
  assert.deepEqual(
    untouched.filter(({ why }) => why.includes("15008")).map(({ workloads }) => workloads.join()),
    ["foo/httpbin", "bar/admin"],
  );
});
