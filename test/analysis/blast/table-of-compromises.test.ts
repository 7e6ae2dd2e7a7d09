/** The table of compromises (../shared/attacks.md), row by row and cell by cell, on examples/compromise. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { before, test } from "node:test";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { type BlastReport, blastReport } from "../../../src/analysis/blast/report.ts";
import { loadMesh } from "../../../src/index.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
let model: BlastModel;

before(async () => {
  const { mesh } = await loadMesh(resolve(ROOT, "examples/compromise"));
  model = new BlastModel(mesh, "istio");
});

function reportOn(component: string): Promise<BlastReport> {
  return blastReport(model, component, { semantics: "istio", witnesses: 100 });
}

const id = (namespace: string, account: string): string => `cluster.local/ns/${namespace}/sa/${account}`;
const of = (report: BlastReport, kind: string): readonly string[] => report.gained[kind] ?? [];

test("the table has the rows that are tested here, and no others", () => {
  const text = readFileSync(resolve(ROOT, "../shared/attacks.md"), "utf8");
  const table = text.slice(text.indexOf("## What each compromise yields"));
  const rows = [...table.matchAll(/^\| ([^|]+) \|/gm)].map(([, name]) => name?.trim());
  assert.deepEqual(rows, [
    "component",
    "workload, sidecar mode",
    "workload, ambient",
    "sidecar",
    "waypoint",
    "ztunnel",
    "CNI agent",
    "node",
    "egress or ingress gateway",
    "API server, or a workload whose RBAC amounts to it",
    "istiod",
  ]);
});

test("a workload behind a sidecar: its account's token and key (so every pod of the account), its pod past its own sidecar, its own identity of the CA", async () => {
  const report = await reportOn("workload/team-a/app-a");
  assert.deepEqual(of(report, "key"), [id("team-a", "app-a")]);
  assert.deepEqual(of(report, "token"), ["team-a/app-a"]);
  assert.deepEqual(of(report, "secret"), ["team-a/app-a-database"]);
  assert.deepEqual(report.controls, ["team-a/app-a", "team-a/app-a-worker"]);
  assert.deepEqual(
    [report.position.kind, report.position.text],
    ["pod", "its pod; past its own sidecar both ways"],
  );
  assert.deepEqual(report.mayAskFor, [id("team-a", "app-a")]);
  assert.ok(report.also.includes("cannot loosen other workloads' policies"));
  assert.deepEqual(of(report, "policies"), []);
});

test("a workload whose account's token is not mounted has its key all the same behind a sidecar, and no rights at the API server", async () => {
  const report = await reportOn("workload/team-a/app-b");
  assert.deepEqual(of(report, "key"), [id("team-a", "app-b")]);
  assert.deepEqual([of(report, "token"), of(report, "account")], [[], []]);
});

test("a workload in ambient mode: its token only if mounted, its pod where ztunnel still captures, nothing of the CA without a token", async () => {
  const without = await reportOn("workload/shop/web");
  assert.deepEqual([of(without, "key"), of(without, "token")], [[], []]);
  assert.equal(without.position.text, "its pod; ztunnel still captures");
  assert.deepEqual(without.mayAskFor, []);
  // Calls still go out as itself, while it is in the pod.
  const step = without.reaches.find(({ to }) => to === "shop/orders");
  assert.deepEqual([step?.as, step?.way, step?.confirmed], [id("shop", "web"), "waypoint", "yes"]);
  const mounted = await reportOn("workload/shop/orders");
  assert.deepEqual(of(mounted, "token"), ["shop/orders"]);
  assert.deepEqual(mounted.mayAskFor, [id("shop", "orders")]);
});

test("a sidecar: as the workload", async () => {
  const [sidecar, workload] = [
    await reportOn("sidecar/team-a/app-a"),
    await reportOn("workload/team-a/app-a"),
  ];
  for (const kind of ["key", "token", "account"])
    assert.deepEqual(of(sidecar, kind), of(workload, kind), kind);
  assert.deepEqual(sidecar.position, workload.position);
  assert.deepEqual(sidecar.mayAskFor, [id("team-a", "app-a")]);
});

test("a waypoint: its own identity, all traffic of what it serves, its own identity of the CA, not those that it serves; ztunnels behind it trust it", async () => {
  const report = await reportOn("waypoint/shop/waypoint");
  assert.deepEqual(of(report, "key"), [id("shop", "waypoint")]);
  assert.deepEqual(report.position.traffic, ["shop/orders", "shop/web"]);
  assert.deepEqual(report.mayAskFor, [id("shop", "waypoint")]);
  assert.deepEqual(report.also, ["not the identities that it serves; ztunnels behind it trust it"]);
  const orders = report.reaches.find(({ to }) => to === "shop/orders");
  assert.deepEqual([orders?.as, orders?.confirmed], [id("shop", "waypoint"), "yes"]);
});

test("a ztunnel: keys of every ambient pod of its node alone, the node's mesh network, identities with a pod there, no Kubernetes rights", async () => {
  const report = await reportOn("ztunnel/n1");
  assert.deepEqual(of(report, "key"), [id("shop", "web")]);
  assert.deepEqual(report.position.traffic, ["shop/web"]);
  assert.deepEqual(report.position.kind, "node");
  assert.deepEqual(report.mayAskFor, [id("shop", "web")]);
  assert.deepEqual(report.also, ["NET_ADMIN, SYS_ADMIN and NET_RAW on its node", "no Kubernetes rights"]);
  assert.deepEqual(of(report, "account"), []);
  assert.deepEqual(of(await reportOn("ztunnel/n2"), "key"), [id("shop", "orders")]);
});

test("a CNI agent: its node's network rules, no identity", async () => {
  const report = await reportOn("cni/n1");
  assert.deepEqual(report.gained, {});
  assert.deepEqual([report.position.kind, report.mayAskFor], ["node", []]);
  assert.deepEqual(report.also, ["node-local: the network rules of its node"]);
});

test("a node: everything on it, its ztunnel, the kubelet's credentials and the Secrets mounted there, and nothing of another node", async () => {
  const report = await reportOn("node/n2");
  assert.deepEqual(of(report, "workload"), [
    "agents/collector",
    "ops/vault",
    "shop/orders",
    "team-a/app-a-worker",
    "team-a/app-b",
  ]);
  assert.deepEqual(of(report, "waypoint"), ["shop/waypoint"]);
  assert.deepEqual(of(report, "gateway"), ["istio-egress/egress"]);
  assert.deepEqual(
    [of(report, "ztunnel"), of(report, "cni"), of(report, "kubelet")],
    [["n2"], ["n2"], ["n2"]],
  );
  assert.deepEqual(of(report, "secret"), ["ops/vault-unseal"]);
  assert.ok(of(report, "key").includes(id("shop", "orders")));
  assert.ok(!of(report, "key").includes(id("shop", "web")));
  assert.deepEqual([of(report, "istiod"), of(report, "apiserver")], [[], []]);
  assert.match(report.also[0] ?? "", /node authorizer limits/);
  const withIstiod = await reportOn("node/n1");
  assert.deepEqual(of(withIstiod, "istiod"), ["istiod"]);
});

test("gateways: their identity, their TLS certificates, all traffic through them, and for egress every host outside that they may reach", async () => {
  const ingress = await reportOn("gateway/istio-ingress/ingress");
  assert.deepEqual(of(ingress, "key"), [id("istio-ingress", "ingress")]);
  assert.deepEqual(of(ingress, "secret"), ["istio-ingress/shop-certificate"]);
  assert.equal(ingress.position.text, "its pod; all traffic through it");
  assert.deepEqual(ingress.mayAskFor, [id("istio-ingress", "ingress")]);
  assert.deepEqual(ingress.externalHosts, []);
  const egress = await reportOn("gateway/istio-egress/egress");
  assert.deepEqual(of(egress, "key"), [id("istio-egress", "egress")]);
  assert.deepEqual(egress.externalHosts, ["www.partner.example"]);
});

test("the API server, and a workload whose RBAC amounts to it: the cluster and the mesh", async () => {
  for (const component of ["apiserver", "workload/platform/operator"]) {
    const report = await reportOn(component);
    assert.equal(report.counts.controlled, report.workloads, component);
    assert.deepEqual([report.score, report.mayAskFor], [100, "all"], component);
  }
  assert.equal((await reportOn("apiserver")).position.text, "all");
});

test("istiod: any certificate, any proxy's configuration, Secrets, webhooks: equals the API server", async () => {
  const report = await reportOn("istiod");
  assert.deepEqual([of(report, "ca"), of(report, "apiserver")], [["ca"], ["apiserver"]]);
  assert.deepEqual(of(report, "proxies"), ["*"]);
  assert.deepEqual([report.mayAskFor, report.position.text, report.score], ["all", "all", 100]);
  assert.deepEqual(report.also, ["equals the API server"]);
});

test("who may deploy has every account and Secret of the namespace; who has the runtime's socket has the node", async () => {
  const deployer = await reportOn("workload/ops/deployer");
  assert.deepEqual(of(deployer, "token"), ["ops/default", "ops/deployer", "ops/vault"]);
  assert.deepEqual(of(deployer, "secret"), ["ops/vault-unseal"]);
  assert.deepEqual(of(deployer, "node"), []);
  const collector = await reportOn("workload/agents/collector");
  assert.deepEqual(of(collector, "node"), ["n2"]);
});

test("to reach is not to control, and every hop says from where, as whom, and why", async () => {
  const report = await reportOn("workload/team-a/app-a");
  const { controls, reaches, further } = report;
  for (const { to } of [...reaches, ...further]) assert.ok(!controls.includes(to), to);
  const step = reaches.find(({ to }) => to === "team-a/app-b") ?? assert.fail("app-b is not reached");
  assert.equal(step.as, id("team-a", "app-a"));
  assert.match(
    step.why,
    /^AuthorizationPolicy team-a\/app-b-callers rule 0 lets it through \(.*mesh\.yaml:\d+\)$/,
  );
  assert.deepEqual([step.witness?.method, step.witness?.path], ["GET", "/orders"]);
  // vault lets app-b in, which app-a reaches; its network policy lets team-a in, where app-a is.
  const vault = further.find(({ to }) => to === "ops/vault");
  assert.deepEqual([vault?.hop, vault?.as], [2, id("team-a", "app-b")]);
});

test("network policies hold by the pod that sends, authorization by the key that is shown", async () => {
  // A key of app-b opens vault's policy, but no pod of shop may connect to it.
  const { further } = await reportOn("workload/shop/web");
  const vault = further.find(({ to }) => to === "ops/vault") ?? assert.fail("vault is not reached");
  assert.match(vault.from ?? "", /^team-a\//);
  assert.equal(vault.as, id("team-a", "app-b"));
});
