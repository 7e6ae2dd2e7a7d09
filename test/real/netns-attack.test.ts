/**
 * `bulwark attack` on pods that are network namespaces: a healthy mesh stops every way past it, seen by captures and counters; one whose
 * firewall is open, or whose configuration is, is broken by the same attacks.
 */
import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import type { AttackResult, Outcome } from "../../src/attack/attack.ts";
import type { DrillReport } from "../../src/attack/drill/drill-report.ts";
import type { AttackReport } from "../../src/attack/run-attacks.ts";
import { LiveMesh, temporaryFolder } from "./live-mesh.ts";
import { inNamespace, leftBehind, SKIP } from "./netns/in-pod.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/egress");
const PAYROLL = resolve(EXAMPLE, "../payroll");
const AMBIENT = resolve(EXAMPLE, "../ambient");
const GATEWAY = "istio-egress/istio-egressgateway-0";

let mesh: LiveMesh;
before(async () => {
  if (SKIP === false) mesh = await LiveMesh.up([EXAMPLE, "--simulate-external", "--substrate", "netns"]);
});
after(() => mesh?.dispose());

async function attack(
  target: LiveMesh,
  only: string,
): Promise<{ readonly code: number | null; readonly report: AttackReport }> {
  const { code, stdout, stderr } = await target.run("attack", "--only", only, "--format", "json");
  assert.ok(stdout.startsWith("{"), stderr);
  return { code, report: JSON.parse(stdout) as AttackReport };
}

function told(results: readonly AttackResult[]): readonly string[] {
  return results.map(
    ({ attack: id, outcome, tried, from, happened }) => `${id} ${outcome}: ${tried} by ${from}: ${happened}`,
  );
}

function of({ results }: AttackReport, outcome: Outcome, tried = /./): readonly AttackResult[] {
  return results.filter((result) => result.outcome === outcome && tried.test(result.tried));
}

test("E1: no packet leaves by the application's user or by the pod's root, on any of the ways; each is in the log", {
  skip: SKIP,
}, async () => {
  const { code, report } = await attack(mesh, "e1");
  assert.deepEqual(told(report.results.filter(({ outcome }) => outcome !== "stopped")), []);
  assert.equal(code, 0);
  for (const user of ["application's user", "root in the pod"])
    for (const way of [/DNS as a tunnel/, /UDP 443/, /IPv6/, /another port/, /internet/])
      assert.ok(
        report.results.some(({ tried, from }) => way.test(tried) && from.includes(user)),
        `${way} by ${user}`,
      );
  for (const { tried, logged, stoppedBy, evidence } of report.results) {
    assert.notEqual(logged, false, `${tried} is not in the log`);
    assert.ok(logged === true || /kernel|DNS|firewall/.test(stoppedBy ?? ""), `${tried}: ${stoppedBy}`);
    if (evidence.packets !== undefined)
      assert.deepEqual([evidence.packets.ofTheAttempt, evidence.packets.lost], [0, 0]);
  }
  const counted = report.results.find(({ evidence }) => evidence.counters !== undefined)?.evidence.counters;
  assert.deepEqual(Object.keys(counted?.arrived ?? {}), [mesh.pod(GATEWAY).address]);
  assert.equal(counted?.leftByOthers, 0);
  assert.ok((counted?.dropped ?? 0) > 0);
});

test("M1: nobody reads what two pods say to each other, on the links and from another pod, while plaintext is read", {
  skip: SKIP,
}, async () => {
  const { code, report } = await attack(mesh, "m1");
  assert.deepEqual(told(report.results.filter(({ outcome }) => outcome !== "stopped")), []);
  assert.equal(code, 0);
  const watched = report.results.filter(({ evidence }) => evidence.packets !== undefined);
  assert.equal(watched.length, 3);
  for (const { evidence, control } of watched) {
    assert.equal(evidence.packets?.ofTheAttempt, 0);
    assert.ok((evidence.packets?.seen ?? 0) > 0);
    assert.match(control, /^passes/);
  }
});

test("M10: the proxies' ports, the control plane, the node and the metadata address are out of a pod's reach", {
  skip: SKIP,
}, async () => {
  const { code, report } = await attack(mesh, "m10");
  assert.equal(code, 0);
  assert.deepEqual(told(of(report, "succeeded")), []);
  const odd = of(report, "not possible here").filter(({ happened }) => !happened.includes("nothing listens"));
  assert.deepEqual(told(odd), []);
  for (const what of [
    /15001.*mutual/,
    /15006.*clear/,
    /15053.*mutual/,
    /15012/,
    /10250/,
    /169\.254\.169\.254/,
    /files/,
    /secret/,
  ])
    assert.ok(of(report, "stopped", what).length > 0, `${what}`);
});

test("M12: nothing comes past the sidecar, not while its proxy is killed either; but a pod's root can open its own", {
  skip: SKIP,
}, async () => {
  const { code, report } = await attack(mesh, "m12");
  assert.equal(code, 0);
  assert.deepEqual(told(report.results.filter(({ outcome }) => outcome === "not possible here")), []);
  for (const what of [/IPv6/, /127\.0\.0\.6/, /UDP/, /killed/])
    assert.equal(of(report, "stopped", what).length, 1, `${what}: ${told(report.results).join("\n")}`);
  const [own] = of(report, "allowed by configuration");
  assert.match(own?.tried ?? "", /NET_ADMIN/);
  assert.ok(own?.finding !== undefined && own.fix !== undefined);
  // Its rules are back: what came in clear is refused again.
  assert.equal(
    (await attack(mesh, "m1")).report.counts.stopped,
    (await attack(mesh, "m1")).report.results.length,
  );
});

test("attacks on requests, identities and names run from inside of the pods as they do on loopback", {
  skip: SKIP,
}, async () => {
  const { code, report } = await attack(mesh, "e2,e3,e4,e6,m2,m4");
  assert.equal(code, 0);
  for (const id of ["e2", "e3", "e4", "e6", "m2", "m4"]) {
    const stopped = report.results.filter((result) => result.attack === id && result.outcome === "stopped");
    assert.ok(stopped.length > 0, `${id}: ${told(report.results).join("\n")}`);
  }
});

test("a firewall that lets everything pass is broken by E1: packets are seen outside, and counted there", {
  skip: SKIP,
}, async () => {
  await inNamespace(mesh, "fabric", ["nft", "insert rule inet bulwark forward accept"]);
  await inNamespace(mesh, "fabric", ["nft", "delete table inet bulwark_policy"]);
  const { code, report } = await attack(mesh, "e1");
  assert.equal(code, 2);
  for (const what of [
    /proxy's own uid, an allowed name/,
    /UDP 443 \(QUIC\)$/,
    /ICMP/,
    /GRE/,
    /gateway's address/,
    /rules removed, plain/,
    /DNS server outside$/,
    /counters/,
  ])
    assert.ok(of(report, "succeeded", what).length > 0, `${what}: ${told(report.results).join("\n")}`);
  for (const { evidence } of of(report, "succeeded", /uid|UDP|socket/))
    assert.ok((evidence.packets?.ofTheAttempt ?? 0) > 0);
});

/** Clients of app-a speak in clear, and app-b's port is taken out of capture. */
const OPEN = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: in-clear, namespace: team-a}
spec: {host: app-a.team-a.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
`;

test("a mesh that is open by its own configuration: M1 reads along, M12 comes in, each with a finding and a fix", {
  skip: SKIP,
}, async (t) => {
  const files = temporaryFolder();
  t.after(() => rmSync(files, { recursive: true, force: true }));
  cpSync(EXAMPLE, files, { recursive: true });
  const change = (file: string, from: string, to: string) => {
    const text = readFileSync(join(files, file), "utf8");
    assert.ok(text.includes(from), `${file} has ${from}`);
    writeFileSync(join(files, file), text.replace(from, to));
  };
  change("00-mesh.yaml", "mode: STRICT", "mode: PERMISSIVE");
  change(
    "10-apps.yaml",
    "labels: {app: app-b, version: v1}",
    'labels: {app: app-b, version: v1}\n      annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "8080"}',
  );
  rmSync(join(files, "50-policies.yaml"));
  writeFileSync(join(files, "60-open.yaml"), OPEN);
  const open = await LiveMesh.up([files, "--simulate-external", "--substrate", "netns"]);
  t.after(() => open.dispose());
  const { code, report } = await attack(open, "m1,m12");
  assert.equal(code, 0);
  for (const what of [/reading what passes/, /annotations take out/]) {
    const [found] = of(report, "allowed by configuration", what);
    assert.ok(found?.finding !== undefined && found.fix !== undefined, told(report.results).join("\n"));
  }
});

test("a key that leaks from one pod and is used in another is seen, revoked, cut off and replaced", {
  skip: SKIP,
}, async (t) => {
  const payroll = await LiveMesh.up([PAYROLL, "--substrate", "netns"]);
  t.after(() => payroll.dispose());
  const { code, stdout, stderr } = await payroll.run("drill", "key-leak", "--format", "json");
  const report = JSON.parse(stdout) as DrillReport;
  assert.equal(code, 0, stdout + stderr);
  assert.ok(report.passed, stdout);
  const use = report.steps.find(({ step }) => step === "use");
  assert.ok(use?.happened.includes(payroll.pod("finance/intranet-0").address), stdout);
});

test("M9: what a waypoint refuses is refused by the pod's ztunnel too, or said to be open; HBONE leads to its own pod alone", {
  skip: SKIP,
}, async (t) => {
  const shop = await LiveMesh.up([AMBIENT, "--substrate", "netns"]);
  t.after(() => shop.dispose());
  const { code, report } = await attack(shop, "m9");
  assert.equal(code, 0);
  assert.deepEqual(told(of(report, "not possible here")), []);
  const to = (results: readonly AttackResult[], workload: string) =>
    results.filter(({ target }) => target.startsWith(workload));
  // orders lets its waypoint alone in, catalog everybody.
  const closed = to(report.results, "shop/orders:");
  assert.deepEqual(
    closed.map(({ outcome, logged, evidence }) => [outcome, logged, evidence.packets?.ofTheAttempt]),
    Array.from({ length: 3 }, () => ["stopped", true, 0]),
  );
  const open = to(of(report, "allowed by configuration", /own address/), "shop/catalog:");
  assert.equal(open.length, 1);
  assert.ok((open[0]?.evidence.packets?.ofTheAttempt ?? 0) > 0 && open[0]?.fix !== undefined);
  const tunnels = report.results.filter(({ tried }) => tried.startsWith("HBONE"));
  assert.equal(tunnels.length, 7);
  for (const { outcome, logged, control } of tunnels) {
    assert.deepEqual([outcome, logged], ["stopped", true], told(tunnels).join("\n"));
    assert.match(control, /^passes: CONNECT: 200/);
  }
});

test("at the end nothing is left of it", { skip: SKIP }, async () => {
  assert.equal(await mesh.interrupt(), 0);
  assert.deepEqual(leftBehind(mesh.state.root), []);
});
