/** A full disk under the flow log, and under the whole state folder: deciding goes on, it is said, and nothing is lost once there is room. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { LiveMesh, pause, temporaryFolder, until } from "./live-mesh.ts";
import type { Sample, WorkerPlan } from "./load-client.ts";
import { LoadProcess } from "./load-process.ts";
import { monotonicMs } from "./monotonic.ts";
import { program, run } from "./programs.ts";

const FULL_FOR_MS = 5000;
/** Enough for all that the load leaves, SQLite's write-ahead log (4 MiB) included: only the filler may fill it. */
const DISK_BYTES = 24 << 20;

/** A small disk of its own; needs root. */
async function smallDisk(t: TestContext): Promise<string> {
  assert.equal(process.getuid?.(), 0, "mounting a tmpfs needs root");
  const folder = temporaryFolder();
  const mounted = await run(program("mount"), [
    "-t",
    "tmpfs",
    "-o",
    `size=${DISK_BYTES},mode=700`,
    "bulwark-test",
    folder,
  ]);
  assert.equal(mounted.code, 0, mounted.stderr);
  t.after(async () => {
    await run(program("umount"), ["--lazy", folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Writes a file until the disk takes no byte more. @returns makes room again. */
function fill(disk: string): () => void {
  const file = join(disk, "filler");
  for (const size of [65_536, 4096, 1])
    for (;;) {
      try {
        writeFileSync(file, Buffer.alloc(size), { flag: "a" });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
        break;
      }
    }
  return () => rmSync(file);
}

function workersOf(mesh: LiveMesh): readonly WorkerPlan[] {
  const { address: host, spiffeId: serverIdentity } = mesh.pod("finance/payroll-0");
  const identity = "spiffe://cluster.local/ns/finance/sa/account-auditor";
  const { address, outboundSecret } = mesh.pod("finance/account-auditor-0");
  const requests = [
    { name: "pass", method: "GET", path: "/accounts/" },
    { name: "refuse", method: "GET", path: "/salaries/" },
    { name: "refuse", method: "POST", path: "/accounts/", bodyBytes: 500 },
  ] as const;
  const common = { authority: "payroll.finance", requestsPerConnection: 20, thinkMs: 25, requests };
  return [
    { ...common, name: "direct", transport: { kind: "mtls", host, port: 8080, identity, serverIdentity } },
    { ...common, name: "app", transport: { kind: "proxy", host: address, secret: outboundSecret } },
  ];
}

/** Load before, while and after the disk is full. */
async function loadOverFullDisk(
  mesh: LiveMesh,
  disk: string,
  whileFull: () => Promise<void> = nothing,
): Promise<readonly Sample[]> {
  const load = new LoadProcess({
    caFolder: mesh.state.caFolder,
    certTtlSeconds: 3600,
    requestTimeoutMs: 10_000,
    workers: workersOf(mesh),
  });
  try {
    await until(() => mesh.flows("kind = 'request'").length > 20, "records are stored");
    const makeRoom = fill(disk);
    await until(async () => !(await mesh.status()).flowLog.ok, "status says that the log is full");
    const fullMs = monotonicMs();
    assertSaid(mesh);
    await whileFull();
    await pause(FULL_FOR_MS);
    const { flowLog } = await mesh.status();
    assert.equal(flowLog.ok, false);
    assert.match(flowLog.message ?? "", /full/i);
    const meanwhile = load.samples.filter(({ startedMs }) => startedMs > fullMs);
    assert.ok(meanwhile.length > 50, `only ${meanwhile.length} requests while the disk was full`);
    makeRoom();
    await until(async () => (await mesh.status()).flowLog.ok, "status says that the log is well again");
    await pause(500);
    return (await load.stop()).samples;
  } finally {
    load.kill();
  }
}

async function nothing(): Promise<void> {}

/** Also where `up` runs, so that nobody has to ask. */
function assertSaid(mesh: LiveMesh): void {
  const said = mesh.events.filter(({ kind, ok }) => kind === "flow-log" && ok === false);
  assert.equal(said.length, 1, "up says it once");
}

async function assertNothingLost(mesh: LiveMesh, samples: readonly Sample[]): Promise<void> {
  const wrong = samples.filter(
    ({ name, status, problem }) => problem !== undefined || status !== (name === "pass" ? 200 : 403),
  );
  assert.deepEqual(
    wrong.slice(0, 5),
    [],
    `${wrong.length} of ${samples.length} requests were decided wrongly`,
  );
  const recorded = () =>
    mesh.flows("kind = 'request' AND direction = 'inbound'").map(({ path, status }) => `${path} ${status}`);
  await until(() => recorded().length >= samples.length, "every record is stored").catch(() => {});
  assert.deepEqual(recorded().sort(), samples.map(({ path, status }) => `${path} ${status}`).sort());
  const outbound = samples.filter(({ worker }) => worker === "app");
  const sent = () => mesh.flows("kind = 'request' AND direction = 'outbound'").length;
  await until(() => sent() >= outbound.length, "so are the client's").catch(() => {});
  assert.equal(sent(), outbound.length);
  for (const { pod, report } of (await mesh.status()).pods) assert.equal(report?.flowsDropped, 0, pod);
}

test("the flow log's disk is full: records wait in the spill folder, and all are stored once there is room", async (t) => {
  const disk = await smallDisk(t);
  const state = join(temporaryFolder(), "state");
  mkdirSync(state, { mode: 0o700 });
  symlinkSync(join(disk, "flows.sqlite"), join(state, "flows.sqlite"));
  const mesh = await LiveMesh.up(["../shared/scenarios/payroll"], state);
  t.after(() => mesh.dispose());
  t.after(() => rmSync(join(state, ".."), { recursive: true, force: true }));
  await assertNothingLost(mesh, await loadOverFullDisk(mesh, disk));
});

const INTRANET = "finance/intranet";

test("the disk of the whole state folder is full: memory keeps the records, all are stored once there is room; changes and deaths wait for it too", async (t) => {
  const disk = await smallDisk(t);
  const files = temporaryFolder();
  t.after(() => rmSync(files, { recursive: true, force: true }));
  const file = join(files, "mesh.yaml");
  const before = readFileSync("../shared/scenarios/payroll/mesh.yaml", "utf8");
  writeFileSync(file, before);
  const mesh = await LiveMesh.up([files], join(disk, "state"));
  t.after(() => mesh.dispose());
  const samples = await loadOverFullDisk(mesh, disk, async () => {
    // Another path opens: it concerns none of the load's requests.
    writeFileSync(file, before.replace('"/accounts/*"', '"/accounts/*", "/reports"'));
    await until(
      () => mesh.events.some(({ kind }) => kind === "configuration-refused"),
      "the change is refused",
    );
    assert.match(JSON.stringify((await mesh.status()).configuration.refused), /ENOSPC/);
    const proxy = mesh.children.find(({ name }) => name === `proxy ${INTRANET}-0`);
    process.kill(proxy?.pid ?? assert.fail("intranet's proxy does not run"), "SIGKILL");
    await until(
      () => mesh.events.some(({ kind, message }) => kind === "warning" && /ENOSPC/.test(`${message}`)),
      "up says that it cannot book",
    );
  });
  await assertNothingLost(mesh, samples);
  await until(async () => (await mesh.status()).configuration.refused === null, "the change is taken");
  assert.equal(
    (await mesh.call("finance/account-auditor", "http://payroll.finance/reports")).answer.status,
    200,
  );
  await until(
    async () => (await mesh.call(INTRANET, "http://payroll.finance/accounts/7")).answer.status === 403,
    "intranet's proxy is back",
  );
  assert.ok(
    mesh.children.some(({ name }) => name === `proxy ${INTRANET}-0`),
    "and booked",
  );
  assert.equal(await mesh.interrupt(), 0);
});
