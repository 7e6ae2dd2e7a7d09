/**
 * `kill -9` of the control plane, of the command and of `up` in each phase of a rotation of the root, and of the control plane at
 * random moments: the rotation comes to its end, no request fails that did not need the dead, and nobody is left with other trust.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CaReport } from "../../src/control/revocation/messages.ts";
import type { RotationReport } from "../../src/control/rotation/messages.ts";
import type { Manifest } from "../../src/identity/ca-manifest.ts";
import { BULWARK } from "../cli/run-bulwark.ts";
import { LiveMesh, pause, until } from "./live-mesh.ts";
import type { WorkerPlan } from "./load-client.ts";
import { LoadProcess } from "./load-process.ts";

/** Repeat a run that failed with `BULWARK_SEED=<what it printed>`. */
const SEED = Number(process.env.BULWARK_SEED ?? 20_261_122);
const PATIENCE_MS = 120_000;
const RANDOM_KILLS = 6;
/** Holds up every phase while it is stopped; no request needs it. */
const HOLDER = "finance/intranet-0";

let mesh: LiveMesh;

before(async () => {
  mesh = await LiveMesh.up(["../shared/scenarios/payroll/mesh.yaml"]);
});
after(async () => {
  for (const { name, pid } of mesh?.children ?? []) if (name.startsWith("proxy ")) signal(pid, "SIGCONT");
  await mesh?.dispose();
});

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}

function pidOf(name: string): number {
  return mesh.children.find((child) => child.name === name)?.pid ?? assert.fail(`${name} does not run`);
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(join(mesh.state.caFolder, "ca.json"), "utf8")) as Manifest;
}

function phase(): string {
  return manifest().rotation?.phase ?? "none";
}

/** Undefined while no control plane answers. */
async function report(): Promise<RotationReport | undefined> {
  const { code, stdout } = await mesh.run("status", "--format", "json");
  return code === 0 ? (JSON.parse(stdout) as { ca: { rotation: RotationReport } }).ca.rotation : undefined;
}

function startRotation(...args: readonly string[]): ChildProcess {
  const all = ["ca", "rotate-root", "--state", mesh.state.root, "--format", "json", ...args];
  return spawn(BULWARK, all, { stdio: ["ignore", "pipe", "ignore"] });
}

async function kill(name: string): Promise<void> {
  const pid = pidOf(name);
  process.kill(pid, "SIGKILL");
  await until(
    () => mesh.children.some((child) => child.name === name && child.pid !== pid),
    `${name} is back`,
  );
}

async function untilControl(): Promise<void> {
  await until(async () => (await report()) !== undefined, "control answers", PATIENCE_MS);
}

async function waitFor(what: string, isSo: (now: RotationReport) => boolean): Promise<void> {
  const asked = async () => {
    const now = await report();
    return now !== undefined && isSo(now);
  };
  await until(asked, what, PATIENCE_MS);
}

const isHeld = ({ waitingFor }: RotationReport) => waitingFor.some(({ pod }) => pod === HOLDER);

/** One root, which is another than before, one intermediate under it, no key besides; and everybody gets through. */
async function assertReplaced(before: Manifest): Promise<void> {
  await until(() => manifest().rotation === undefined, "the rotation is over", PATIENCE_MS);
  const { roots, signingRoot, intermediate, lastRotation } = manifest();
  assert.deepEqual(roots, [signingRoot]);
  assert.notEqual(signingRoot, before.signingRoot);
  assert.deepEqual(lastRotation?.passedOver, []);
  const keys = readdirSync(mesh.state.caFolder).filter((name) => name.endsWith(".key.pem"));
  assert.deepEqual(
    new Set(keys),
    new Set([`root-${signingRoot}.key.pem`, `intermediate-${intermediate}.key.pem`]),
  );
  await untilControl();
  const answer = await mesh.call("finance/account-auditor", "http://payroll.finance/accounts/7");
  assert.equal(answer.answer.status, 200);
  const refused = await mesh.call("finance/intranet", "http://payroll.finance/accounts/7");
  assert.equal(refused.result, "refused");
}

function workers(): readonly WorkerPlan[] {
  const { address, outboundSecret } = mesh.pod("finance/account-auditor-0");
  const transport = { kind: "proxy", host: address, secret: outboundSecret } as const;
  const plan = (name: string, requestsPerConnection: number): WorkerPlan => ({
    name,
    transport,
    authority: "payroll.finance",
    requestsPerConnection,
    thinkMs: 10,
    requests: [{ name: "pass", method: "GET", path: "/accounts/" }],
  });
  return [plan("kept-0", 40), plan("kept-1", 40), plan("long", Number.POSITIVE_INFINITY), plan("new", 1)];
}

function newLoad(): LoadProcess {
  return new LoadProcess({
    caFolder: mesh.state.caFolder,
    certTtlSeconds: 3600,
    requestTimeoutMs: 30_000,
    workers: workers(),
  });
}

test("kill -9 of the command and of the control plane in each phase: the rotation goes on, and no request fails", async (t) => {
  const load = newLoad();
  try {
    await until(() => load.samples.length > 20, "the load runs");
    const begun = manifest();
    const holder = pidOf(`proxy ${HOLDER}`);
    process.kill(holder, "SIGSTOP");
    const command = startRotation("--overlap", "15s");
    await until(() => phase() === "both-trusted", "the first phase");
    await waitFor("the stopped proxy holds it up", isHeld);
    command.kill("SIGKILL");
    await kill("control");
    await waitFor("it is held up again", isHeld);
    assert.equal(phase(), "both-trusted");
    process.kill(holder, "SIGCONT");
    await until(() => phase() === "new-signs", "the second phase", PATIENCE_MS);
    await kill("control");
    await waitFor("every proxy has followed again", ({ waitingFor }) => waitingFor.length === 0);
    process.kill(holder, "SIGSTOP");
    await until(() => phase() !== "new-signs", "the third phase", PATIENCE_MS);
    t.diagnostic(`third kill in phase ${phase()}`);
    await kill("control");
    process.kill(holder, "SIGCONT");
    // A second run of the command shows the same rotation, or finds that it is over and does another.
    await assertReplaced(begun);
  } finally {
    const { samples } = await load.stop();
    const failed = samples.filter(({ status, problem }) => status !== 200 || problem !== undefined);
    assert.deepEqual(failed.slice(0, 5), [], `${failed.length} of ${samples.length} requests`);
    t.diagnostic(`${samples.length} requests`);
  }
});

test("the command says where it stands when it is interrupted, joins a rotation under way, and waits no longer than it is told", async () => {
  const begun = manifest();
  const holder = pidOf(`proxy ${HOLDER}`);
  process.kill(holder, "SIGSTOP");
  const late = await mesh.run("ca", "rotate-root", "--timeout", "15s");
  assert.equal(late.code, 2, late.stderr);
  assert.match(late.stderr, /the rotation goes on in the mesh, waiting for finance\/intranet-0 \(its proxy /);
  const { id } = manifest().rotation ?? assert.fail("no rotation");
  const status = await mesh.run("status");
  assert.match(
    status.stdout,
    /the CA's root [0-9a-f]{16} is being replaced, phase both-trusted .* waiting for finance\/intranet-0/,
  );
  const interrupted = startRotation();
  const code = new Promise((resolve) => interrupted.once("exit", resolve));
  let told = "";
  interrupted.stdout?.on("data", (chunk) => {
    told += String(chunk);
  });
  await until(() => told.includes('"event":"begun"'), "it shows the rotation", PATIENCE_MS);
  interrupted.kill("SIGINT");
  assert.equal(await code, 130);
  assert.equal(manifest().rotation?.id, id);
  const other = await mesh.run("ca", "rotate-intermediate");
  assert.equal(other.code, 1);
  assert.match(other.stderr, /the root is being replaced \(phase both-trusted\)/);
  process.kill(holder, "SIGCONT");
  const joined = await mesh.run("ca", "rotate-root");
  assert.equal(joined.code, 0, joined.stderr);
  await assertReplaced(begun);
});

test("--force goes on without a proxy that never acknowledges, names it, and it follows as soon as it can", async () => {
  const begun = manifest();
  const holder = pidOf(`proxy ${HOLDER}`);
  process.kill(holder, "SIGSTOP");
  const { code, stdout, stderr } = await mesh.run("ca", "rotate-root", "--force");
  process.kill(holder, "SIGCONT");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /went on without finance\/intranet-0/);
  await waitFor("the proxy is back", ({ rotation }) => rotation === null);
  assert.deepEqual(manifest().lastRotation?.passedOver, [HOLDER]);
  assert.notEqual(manifest().signingRoot, begun.signingRoot);
  // Its certificate of the old root is refused until it has been told; then it is judged by policy again.
  await until(
    async () =>
      (await mesh.call("finance/intranet", "http://payroll.finance/accounts/7")).result === "refused",
    "it is in the mesh again",
    PATIENCE_MS,
  );
});

test("kill -9 of the control plane at random moments of rotations: each comes to its end", async (t) => {
  t.diagnostic(`seed ${SEED}`);
  let state = SEED;
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < RANDOM_KILLS; i++) {
    const begun = manifest();
    const command = startRotation();
    const ended = new Promise((resolve) => command.once("exit", resolve));
    await until(
      () => phase() !== "none" || manifest().lastRotation?.id !== begun.lastRotation?.id,
      "it has begun",
    );
    await pause(random() * 300);
    await kill("control");
    assert.equal(await ended, 0);
    await assertReplaced(begun);
  }
});

const PHASES = ["both-trusted", "new-signs", "old-removed"] as const;

/** Starts a rotation and has it stand in a phase, until the proxy of HOLDER goes on or, in `new-signs`, the overlap is over. */
async function standIn(wanted: (typeof PHASES)[number], overlap: string): Promise<void> {
  const holder = pidOf(`proxy ${HOLDER}`);
  if (wanted === "both-trusted") signal(holder, "SIGSTOP");
  startRotation("--overlap", overlap);
  if (wanted === "old-removed") {
    await waitFor(
      "all have followed the new signer",
      ({ rotation, waitingFor }) => rotation?.phase === "new-signs" && waitingFor.length === 0,
    );
    signal(holder, "SIGSTOP");
  }
  await until(() => phase() === wanted, wanted, PATIENCE_MS);
}

for (const wanted of PHASES) {
  test(`kill -9 of everything in the phase ${wanted}: the next up brings the rotation to its end`, async () => {
    const begun = manifest();
    await standIn(wanted, wanted === "new-signs" ? "10m" : "5s");
    mesh.killEverything();
    await mesh.ended();
    if (wanted === "new-signs") shortenOverlap();
    await mesh.start();
    await assertReplaced(begun);
  });

  test(`kill -9 of up alone in the phase ${wanted}: its orphans bring the rotation to its end, no request fails, and the next up goes on from there`, async (t) => {
    const begun = manifest();
    const load = newLoad();
    try {
      await until(() => load.samples.length > 20, "the load runs");
      await standIn(wanted, "8s");
      const holder = pidOf(`proxy ${HOLDER}`);
      process.kill(mesh.upPid, "SIGKILL");
      await mesh.ended();
      assert.equal(phase(), wanted);
      signal(holder, "SIGCONT");
      await assertReplaced(begun);
    } finally {
      const { samples } = await load.stop();
      const failed = samples.filter(({ status, problem }) => status !== 200 || problem !== undefined);
      assert.deepEqual(failed.slice(0, 5), [], `${failed.length} of ${samples.length} requests`);
      t.diagnostic(`${samples.length} requests`);
    }
    const { signingRoot } = manifest();
    await mesh.start();
    assert.equal(manifest().signingRoot, signingRoot);
    await assertReplaced(begun);
    await assertEverybodyHasCertificates();
  });

  test(`kill -9 of up alone in the phase ${wanted}, and an up before the rotation is over: it ends the orphans and brings the rotation to its end`, async () => {
    const begun = manifest();
    await standIn(wanted, wanted === "new-signs" ? "10m" : "5s");
    process.kill(mesh.upPid, "SIGKILL");
    await mesh.ended();
    const { id } = manifest().rotation ?? assert.fail("no rotation");
    if (wanted === "new-signs") mesh.children.forEach(({ pid }) => void signal(pid, "SIGKILL"));
    if (wanted === "new-signs") shortenOverlap();
    await mesh.start();
    await assertReplaced(begun);
    assert.equal(manifest().lastRotation?.id, id);
    await assertEverybodyHasCertificates();
  });
}

/** Of the intermediate in force: no proxy was left behind by a rotation. */
async function assertEverybodyHasCertificates(): Promise<void> {
  const { code, stdout } = await mesh.run("ca", "status", "--format", "json");
  assert.equal(code, 0);
  const { certificates } = JSON.parse(stdout) as CaReport;
  const { intermediate } = manifest();
  for (const { name } of mesh.children.filter((child) => child.name.startsWith("proxy "))) {
    const own = certificates.filter(({ usedBy }) => `proxy ${usedBy}` === name);
    assert.deepEqual(
      own.map(({ issuerKeyId, status }) => [issuerKeyId, status]),
      [[intermediate, "valid"]],
      name,
    );
  }
}

/** Nobody waits ten minutes for a test. */
function shortenOverlap(): void {
  const file = join(mesh.state.caFolder, "ca.json");
  writeFileSync(file, readFileSync(file, "utf8").replace(/"overlapMs": \d+/, '"overlapMs": 0'));
}
