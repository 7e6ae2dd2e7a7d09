/** `bulwark drill key-leak` on a running mesh: it measures every step, and leaves the mesh as it was. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import type { DrillReport } from "../../src/attack/drill/drill-report.ts";
import type { CaReport } from "../../src/control/revocation/messages.ts";
import { BULWARK } from "../cli/run-bulwark.ts";
import { LiveMesh, until } from "./live-mesh.ts";
import { LoadProcess } from "./load-process.ts";

const WAIT_MS = 120_000;
const STEPS = ["leak", "use", "detect", "alert", "revoke", "cut", "rotate", "verify"];

let mesh: LiveMesh;

before(async () => {
  mesh = await LiveMesh.up(["examples/egress", "--simulate-external"]);
});
after(async () => {
  await mesh?.dispose();
});

async function caStatus(): Promise<CaReport> {
  const { code, stdout, stderr } = await mesh.run("ca", "status", "--format", "json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as CaReport;
}

async function assertAllWork(): Promise<void> {
  for (const [from, url] of [
    ["team-a/app-a", "http://app-b.team-b/"],
    ["team-b/app-b", "http://app-a.team-a/"],
  ] as const)
    await until(
      async () => (await mesh.call(from, url)).answer.status === 200,
      `${from} gets through`,
      WAIT_MS,
    );
}

test("the drill sees the leak, revokes, cuts, rotates and verifies; nobody else is disturbed, and nothing is left behind", async (t) => {
  const { address, outboundSecret } = mesh.pod("team-b/app-b-0");
  const transport = { kind: "proxy", host: address, secret: outboundSecret } as const;
  const plan = { transport, requestsPerConnection: 20, thinkMs: 20, name: "bystander" };
  const requests = [{ name: "pass", method: "GET", path: "/get/" }] as const;
  const load = new LoadProcess({
    caFolder: mesh.state.caFolder,
    certTtlSeconds: 3600,
    requestTimeoutMs: 30_000,
    // Calls itself: the robbed workload is out for a moment, as its server too.
    workers: [{ ...plan, authority: "app-b.team-b", requests }],
  });
  try {
    await until(() => load.samples.length > 5, "the load runs");
    const { code, stdout, stderr } = await mesh.run(
      "drill",
      "key-leak",
      "--workload",
      "team-a/app-a",
      "--format",
      "json",
    );
    const report = JSON.parse(stdout) as DrillReport;
    assert.equal(code, 0, stdout + stderr);
    assert.deepEqual(
      report.steps.map(({ step }) => step),
      STEPS,
    );
    assert.ok(report.steps.every(({ ok }) => ok) && report.passed, stdout);
    assert.deepEqual(report.leftBehind, []);
    t.diagnostic(report.steps.map(({ step, tookMs }) => `${step} ${Math.round(tookMs)} ms`).join(", "));
    const { certificates, alerts } = await caStatus();
    const leaked = certificates.find(({ serial }) => serial.toUpperCase() === report.serial);
    assert.equal(leaked?.status, "revoked");
    assert.deepEqual(
      alerts.filter(({ kind }) => kind === "two-keys"),
      [],
    );
  } finally {
    const { samples } = await load.stop();
    assert.deepEqual(samples.filter(({ status }) => status !== 200).slice(0, 3), []);
  }
  await assertAllWork();
});

test("a drill that is interrupted after the key was used leaves it revoked, and the workload in the mesh", async () => {
  const child = spawn(BULWARK, [
    "drill",
    "key-leak",
    "--workload",
    "team-b/app-b",
    "--state",
    mesh.state.root,
  ]);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += String(chunk);
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await until(() => /✔ use/.test(output), "the key is used", WAIT_MS);
  child.kill("SIGINT");
  assert.equal(await ended, 130, output);
  const serial = /certificate ([0-9A-F]+)/.exec(output)?.[1]?.toLowerCase();
  const { certificates } = await caStatus();
  assert.equal(certificates.find((one) => one.serial === serial)?.status, "revoked");
  await assertAllWork();
});

test("with certificates of five seconds, too, the thief's connection is cut, which has outlived its certificate", async (t) => {
  const shortLived = await LiveMesh.up(["examples/egress", "--simulate-external", "--cert-ttl", "5s"]);
  t.after(() => shortLived.dispose());
  const args = ["drill", "key-leak", "--workload", "team-a/app-a", "--format", "json"] as const;
  const { code, stdout, stderr } = await shortLived.run(...args);
  const report = JSON.parse(stdout) as DrillReport;
  assert.equal(code, 0, stdout + stderr);
  assert.ok(report.passed, stdout);
  const revoke = report.steps.find(({ step }) => step === "revoke");
  assert.match(revoke?.happened ?? "", /[1-9]\d* connections cut/);
  t.diagnostic(report.steps.map(({ step, tookMs }) => `${step} ${Math.round(tookMs)} ms`).join(", "));
});

test("a workload that is not there is an error of the caller's, and nothing is done", async () => {
  const before = (await caStatus()).certificates.length;
  const { code, stdout, stderr } = await mesh.run("drill", "key-leak", "--workload", "team-a/app-x");
  assert.deepEqual({ code, stdout }, { code: 3, stdout: "" });
  assert.match(stderr, /no workload `team-a\/app-x`/);
  assert.equal((await caStatus()).certificates.length, before);
});
