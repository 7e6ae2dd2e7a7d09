/**
 * `kill -9` of each kind of process that `up` starts, one at a time, all together, and `up` with them, while requests run: what
 * does not need the dead goes on, what died comes back, nothing is let through that should not be, nothing is left half-written.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, type TestContext, test } from "node:test";
import type { StatusReport } from "../../src/control/messages.ts";
import { LiveMesh, listeners, pause, processesOn, temporaryFolder, until } from "./live-mesh.ts";
import type { Sample, Transport, WorkerPlan } from "./load-client.ts";
import { LoadProcess } from "./load-process.ts";
import { monotonicMs } from "./monotonic.ts";

/** Repeat a run that failed with `BULWARK_SEED=<what it printed>`. */
const SEED = Number(process.env.BULWARK_SEED ?? 20_260_801);
/** From the kill to the first requests that work again, on a machine that does other things too. */
const BACK_WITHIN_MS = 20_000;
const ROUNDS = 2;
const MAX_PAUSE_MS = 700;

const A0 = "proxy team-a/app-a-0";
const A1 = "proxy team-a/app-a-1";
const B0 = "proxy team-b/app-b-0";
const GATEWAY = "proxy istio-egress/istio-egressgateway-0";
const B_APP = "app team-b/app-b-0";

interface Flow {
  readonly worker: WorkerPlan;
  /** The processes that its requests pass. */
  readonly needs: readonly string[];
}

/** While it lasts, requests that need the dead may fail. */
interface Outage {
  readonly dead: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
}

/** The user's own application: says what the built-in echo says, as far as the load's client reads it. */
const APPLICATION = `import { createServer } from "node:http";
createServer((request, response) => {
  let bodyBytes = 0;
  request.on("data", (chunk) => { bodyBytes += chunk.length; });
  request.on("end", () => {
    const text = JSON.stringify({ path: request.url, method: request.method, bodyBytes });
    response.writeHead(200, { "content-type": "application/json", "content-length": text.length }).end(text);
  });
}).listen(Number(process.env.PORT), process.env.HOST);
`;

const OUTBOUND_PORT = 15_001;
const folder = temporaryFolder();
const outages: Outage[] = [];
let mesh: LiveMesh;
let load: LoadProcess;
let flows: readonly Flow[];
let refused: readonly string[];
let random: () => number;

before(async () => {
  random = mulberry32(SEED);
  const application = join(folder, "application.mjs");
  writeFileSync(application, APPLICATION);
  mesh = await LiveMesh.up([
    "examples/egress",
    "--simulate-external",
    "--app",
    `team-b/app-b=exec ${process.execPath} ${application}`,
  ]);
  flows = plannedFlows();
  const never = plannedRefusals();
  refused = never.map(({ name }) => name);
  load = new LoadProcess({
    caFolder: mesh.state.caFolder,
    certTtlSeconds: 3600,
    requestTimeoutMs: 10_000,
    workers: [...flows.map(({ worker }) => worker), ...never],
  });
  await until(() => flows.every((flow) => successesSince(flow, 0) > 3), "every flow works");
});
after(async () => {
  load?.kill();
  await mesh?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function plannedFlows(): readonly Flow[] {
  const flow = (name: string, transport: Transport, authority: string, needs: readonly string[]): Flow => ({
    worker: plan(name, transport, authority),
    needs,
  });
  return [
    flow("to-b", mutual("team-b/app-b-0", "team-a/sa/app-a"), "app-b.team-b", [B0, B_APP]),
    flow("to-a0", mutual("team-a/app-a-0", "team-b/sa/app-b"), "app-a.team-a", [A0, "apps"]),
    flow("to-a1", mutual("team-a/app-a-1", "team-b/sa/app-b"), "app-a.team-a", [A1, "apps"]),
    flow("a0-to-b", through("team-a/app-a-0"), "app-b.team-b", [A0, B0, B_APP]),
    flow("b-to-a", through("team-b/app-b-0"), "app-a.team-a", [B0, A0, A1, "apps"]),
    flow("a0-to-ibm", tunnel("team-a/app-a-0", "www.ibm.com"), "www.ibm.com", [A0, GATEWAY, "externals"]),
    flow("a1-to-ibm", tunnel("team-a/app-a-1", "www.ibm.com"), "www.ibm.com", [A1, GATEWAY, "externals"]),
    flow("b-to-mongo", tunnel("team-b/app-b-0", "mongo1.composedb.com"), "mongo1.composedb.com", [
      B0,
      GATEWAY,
      "externals",
    ]),
  ];
}

/** Requests that no crash may let through. */
function plannedRefusals(): readonly WorkerPlan[] {
  const { address: host } = mesh.pod("team-b/app-b-0");
  const identity = "spiffe://cluster.local/ns/team-a/sa/app-a";
  return [
    plan("a0-to-mongo", tunnel("team-a/app-a-0", "mongo1.composedb.com"), "mongo1.composedb.com"),
    plan("b-to-ibm", tunnel("team-b/app-b-0", "www.ibm.com"), "www.ibm.com"),
    plan("a0-to-nowhere", tunnel("team-a/app-a-0", "www.example.org"), "www.example.org"),
    plan("rogue", { kind: "rogue", host, port: 8080, identity }, "app-b.team-b"),
    plan("plaintext", { kind: "plaintext", host, port: 8080 }, "app-b.team-b"),
    plan("stolen", { ...through("team-a/app-a-0"), secret: "guessed" }, "app-b.team-b"),
  ];
}

function plan(name: string, transport: Transport, authority: string): WorkerPlan {
  const requests = [
    { name, method: "GET", path: "/get/" },
    { name, method: "POST", path: "/post/", bodyBytes: 3000 },
  ] as const;
  return { name, transport, authority, requestsPerConnection: 25, thinkMs: 20, requests };
}

function mutual(pod: string, identity: string): Transport {
  const { address, spiffeId } = mesh.pod(pod);
  return {
    kind: "mtls",
    host: address,
    port: 8080,
    identity: `spiffe://cluster.local/ns/${identity}`,
    serverIdentity: spiffeId,
  };
}

function through(pod: string): Extract<Transport, { kind: "proxy" }> {
  const { address, outboundSecret } = mesh.pod(pod);
  return { kind: "proxy", host: address, secret: outboundSecret };
}

function tunnel(pod: string, server: string): Transport {
  return { ...through(pod), kind: "tunnel", server, caFile: join(mesh.state.standInFolder, "ca.pem") };
}

function isSuccess({ status, problem }: Sample): boolean {
  return status === 200 && problem === undefined;
}

/** Successes in a row, at the end, of requests that began after a moment. */
function successesSince({ worker }: Flow, ms: number): number {
  let count = 0;
  for (let i = load.samples.length - 1; i >= 0; i--) {
    const sample = load.samples[i];
    if (sample === undefined || sample.startedMs < ms) break;
    if (sample.worker !== worker.name) continue;
    if (!isSuccess(sample)) break;
    count += 1;
  }
  return count;
}

/** Small and good enough for choosing moments. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

function pidOf(name: string): number | undefined {
  return mesh.children.find((child) => child.name === name)?.pid;
}

/** SIGKILL at a random moment; waits until each has a successor, and all that needs them works. @returns how long that took. */
async function killAndWait(names: readonly string[]): Promise<number> {
  await pause(random() * MAX_PAUSE_MS);
  const before = new Map(names.map((name) => [name, pidOf(name) ?? assert.fail(`${name} does not run`)]));
  const fromMs = monotonicMs();
  for (const pid of before.values()) process.kill(pid, "SIGKILL");
  await until(
    () => names.every((name) => ![undefined, before.get(name)].includes(pidOf(name))),
    `${names.join(", ")} run again`,
    BACK_WITHIN_MS,
  );
  await workingAgain(names, monotonicMs());
  const toMs = monotonicMs();
  outages.push({ dead: names, fromMs, toMs });
  return toMs - fromMs;
}

async function workingAgain(dead: readonly string[], sinceMs: number): Promise<void> {
  const hit = flows.filter(({ needs }) => needs.some((name) => dead.includes(name)));
  await until(
    () => hit.every((flow) => successesSince(flow, sinceMs) >= 3),
    `what needs ${dead.join(", ")} works again`,
    BACK_WITHIN_MS,
  );
  if (dead.includes("control"))
    await until(allConnected, "control answers, every proxy is connected", BACK_WITHIN_MS);
}

async function allConnected(): Promise<boolean> {
  const { code, stdout } = await mesh.run("status", "--format", "json");
  if (code !== 0) return false;
  return (JSON.parse(stdout) as StatusReport).pods.every(({ connected, proxied }) => connected || !proxied);
}

/** Failures of requests that needed nothing that was dead while they ran. */
function unexcused(): readonly Sample[] {
  const needs = new Map(flows.map((flow) => [flow.worker.name, flow.needs]));
  return load.samples.filter((sample) => {
    const needed = needs.get(sample.worker);
    if (needed === undefined || isSuccess(sample)) return false;
    return !outages.some(
      ({ dead, fromMs, toMs }) =>
        sample.endedMs >= fromMs && sample.startedMs <= toMs && dead.some((name) => needed.includes(name)),
    );
  });
}

function assertTheRestWentOn(): void {
  const failed = unexcused();
  assert.deepEqual(
    failed.slice(0, 5),
    [],
    `${failed.length} of ${load.samples.length} requests (seed ${SEED})`,
  );
  const passed = load.samples.filter((sample) => refused.includes(sample.worker) && sample.status === 200);
  assert.deepEqual(passed, [], `let through (seed ${SEED})`);
}

test("kill -9 of control: no request fails, and not one record of the flow log is lost", async (t) => {
  const from = load.samples.length;
  for (let i = 0; i < 3; i++) t.diagnostic(`back in ${Math.round(await killAndWait(["control"]))} ms`);
  const seen = load.samples.slice(from);
  assertTheRestWentOn();
  const direct = seen.filter(
    ({ worker, status }) => ["to-b", "to-a0", "to-a1"].includes(worker) && status === 200,
  );
  assert.ok(direct.length > 50);
  const records = () => {
    const count = new Map<string, number>();
    for (const { path = "", reporter } of mesh.flows("kind = 'request' AND direction = 'inbound'"))
      count.set(`${reporter} ${path}`, (count.get(`${reporter} ${path}`) ?? 0) + 1);
    return direct.map(
      ({ worker, path }) => count.get(`${worker === "to-b" ? "team-b/app-b" : "team-a/app-a"} ${path}`) ?? 0,
    );
  };
  await until(() => records().every((n) => n > 0), "every record has arrived").catch(() => {});
  assert.deepEqual(
    records().filter((n) => n !== 1),
    [],
    "each request has one record",
  );
});

test("kill -9 of each proxy, the gateway, the applications and the stand-ins, one at a time: the others go on", async (t) => {
  const kinds = [A0, A1, B0, GATEWAY, "apps", "externals", B_APP];
  const took = new Map<string, number[]>(kinds.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const name of shuffled(kinds)) took.get(name)?.push(Math.round(await killAndWait([name])));
  for (const [name, all] of took) t.diagnostic(`${name}: works again after ${all.join(", ")} ms`);
  assertTheRestWentOn();
});

test("kill -9 of all children at once: all come back, with the same roots", async (t) => {
  const roots = rootsOf();
  for (let i = 0; i < 2; i++) {
    const names = mesh.children.map(({ name }) => name);
    t.diagnostic(`works again after ${Math.round(await killAndWait(names))} ms`);
  }
  assert.deepEqual(rootsOf(), roots);
  assertTheRestWentOn();
});

test("kill -9 of up alone: the mesh goes on; the next up takes over", async (t) => {
  process.kill(mesh.upPid, "SIGKILL");
  await mesh.ended();
  const aloneMs = monotonicMs();
  await pause(3000);
  for (const flow of flows) assert.ok(successesSince(flow, aloneMs) > 10, flow.worker.name);
  const before = mesh.children.map(({ pid }) => pid);
  const took = await startAgain();
  t.diagnostic(`works again after ${Math.round(took)} ms`);
  const leftovers = mesh.events.find(({ kind }) => kind === "leftovers");
  assert.equal((leftovers?.names as readonly string[] | undefined)?.length, before.length);
  // Orphans that were killed stay as zombies until the system's first process has taken note of them.
  for (const pid of before) await until(() => !existsSync(`/proc/${pid}`), `process ${pid} is gone`);
  assertTheRestWentOn();
});

test("kill -9 of everything, up included: nothing half-written; a new up goes on with the same roots, addresses and log", async (t) => {
  for (let i = 0; i < 3; i++) await killEverythingAndStartAgain(t);
  assertTheRestWentOn();
});

async function killEverythingAndStartAgain(t: TestContext): Promise<void> {
  const roots = rootsOf();
  const addresses = mesh.assignments.pods.map(({ name, address, outboundSecret }) => [
    name,
    address,
    outboundSecret,
  ]);
  const logged = idsInLog();
  await pause(random() * MAX_PAUSE_MS);
  const fromMs = monotonicMs();
  mesh.killEverything();
  await mesh.ended();
  await until(() => processesOn(mesh.state.root).length === 0, "all are gone");
  assertWhole();
  const took = await startAgain(fromMs);
  t.diagnostic(`works again after ${Math.round(took)} ms`);
  assert.deepEqual(rootsOf(), roots);
  assert.deepEqual(
    mesh.assignments.pods.map(({ name, address, outboundSecret }) => [name, address, outboundSecret]),
    addresses,
  );
  const now = idsInLog();
  assert.deepEqual(
    [...logged].filter((id) => !now.has(id)),
    [],
    "records were lost from the log",
  );
  await until(() => idsInLog().size > logged.size, "the log goes on");
  assertWhole();
}

async function startAgain(fromMs = monotonicMs()): Promise<number> {
  await mesh.start();
  const dead = mesh.children.map(({ name }) => name);
  await workingAgain(dead, monotonicMs());
  const toMs = monotonicMs();
  outages.push({ dead, fromMs, toMs });
  return toMs - fromMs;
}

function rootsOf(): readonly string[] {
  const { caFolder } = mesh.state;
  return readdirSync(caFolder)
    .filter((name) => /^root-.*\.crt\.pem$/.test(name))
    .sort()
    .map((name) => new X509Certificate(readFileSync(join(caFolder, name))).fingerprint256);
}

function idsInLog(): ReadonlySet<string> {
  return new Set(mesh.flows().map(({ id }) => id));
}

/** Every file that is read back reads: JSON, PEM, the lines of a journal but one that was cut at its end, the database. */
function assertWhole(): void {
  const names = readdirSync(mesh.state.root, { recursive: true, encoding: "utf8" });
  const kinds = new Set<string>();
  for (const name of names) {
    const path = join(mesh.state.root, name);
    const [kind] = /\.(json|jsonl|pem|sqlite|tmp|jwt)$/.exec(name) ?? [];
    if (kind === undefined) continue;
    kinds.add(kind);
    assertWholeFile(path, kind);
  }
  for (const kind of [".json", ".pem", ".sqlite", ".jwt"])
    assert.ok(kinds.has(kind), `no ${kind} was looked at`);
}

function assertWholeFile(path: string, kind: string): void {
  if (kind === ".sqlite") {
    assertDatabaseWhole(path);
    return;
  }
  const text = readFileSync(path, "utf8");
  if (kind === ".json") assert.doesNotThrow(() => JSON.parse(text), path);
  if (kind === ".pem") assert.match(text, PEM, path);
  if (kind === ".jwt") assert.match(text, /^[\w-]+\.[\w-]+\.[\w-]+\n?$/, path);
  if (kind === ".jsonl")
    for (const line of text.split("\n").slice(0, -1)) assert.ok(isJson(line) || line === "", path);
}

/** One or more whole blocks, and nothing else (RFC 7468). */
const PEM = /^(-----BEGIN ([A-Z ]+)-----\n[A-Za-z0-9+/=\n]+-----END \2-----\n)+$/;

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function assertDatabaseWhole(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  try {
    assert.deepEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
  } finally {
    database.close();
  }
}

test("the requests that nobody may make were refused all along, and most of the others passed", async (t) => {
  const { samples } = await load.stop();
  assertTheRestWentOn();
  const count = (names: readonly string[]) => samples.filter(({ worker }) => names.includes(worker)).length;
  const good = samples.filter(isSuccess).length;
  t.diagnostic(
    `${samples.length} requests, ${good} answered, ${count(refused)} of those that are refused; seed ${SEED}`,
  );
  for (const name of refused) assert.ok(count([name]) > 50, name);
  for (const { worker } of flows)
    assert.ok(
      samples.filter((sample) => sample.worker === worker.name && isSuccess(sample)).length > 100,
      worker.name,
    );
});

test("Ctrl-C leaves no process, no listener and no socket", async () => {
  const own = ownListeners();
  const open = listeners();
  assert.ok(own.filter((address) => open.has(address)).length >= 10, "the mesh listens");
  assert.equal(await mesh.interrupt(), 0);
  assertNothingLeft(own);
});

test("kill -9 of up, then `bulwark down`: no process, no listener and no socket is left", async () => {
  await mesh.start();
  const own = ownListeners();
  process.kill(mesh.upPid, "SIGKILL");
  await mesh.ended();
  assert.ok(processesOn(mesh.state.root).length >= 7, "they outlive it");
  const { code, stdout, stderr } = await mesh.run("down");
  assert.equal(code, 0, stdout + stderr);
  assertNothingLeft(own);
});

test("kill -9 of everything, then `bulwark down`: what is left of it is cleared away", async () => {
  await mesh.start();
  const own = ownListeners();
  mesh.killEverything();
  await mesh.ended();
  assert.equal((await mesh.run("down")).code, 0);
  assertNothingLeft(own);
});

/** Every address that the mesh may listen on. */
function ownListeners(): readonly string[] {
  const { pods, standIns, privilegedPortOffset } = mesh.assignments;
  const socketPort = (port: number) => (port < 1024 ? port + privilegedPortOffset : port);
  return [
    ...pods.flatMap(({ address, applicationPorts }) => [
      `${address}:${OUTBOUND_PORT}`,
      ...applicationPorts.flatMap(({ port, host, socketPort: own }) => [
        `${address}:${socketPort(port)}`,
        `${host}:${own}`,
      ]),
    ]),
    ...standIns.flatMap(({ address, ports }) => ports.map(({ port }) => `${address}:${socketPort(port)}`)),
  ];
}

function assertNothingLeft(own: readonly string[]): void {
  assert.deepEqual(processesOn(mesh.state.root), []);
  const addresses = new Set(mesh.assignments.pods.map(({ address }) => address));
  const open = [...listeners()];
  assert.deepEqual(
    open.filter((socket) => own.includes(socket) || addresses.has(socket.split(":")[0] ?? "")),
    [],
  );
  for (const file of [mesh.state.controlSocket, mesh.state.lock, mesh.state.runBook])
    assert.ok(!existsSync(file), `${file} was left`);
}
