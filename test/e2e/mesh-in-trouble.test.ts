import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { after, test } from "node:test";
import { isRunning } from "../../src/control/process-identity.ts";
import { readRunBook } from "../../src/control/run-book.ts";
import { stopMesh } from "../../src/control/stop-mesh.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const PAYROLL = "../shared/scenarios/payroll";
const meshes: TestMesh[] = [];
after(async () => {
  for (const mesh of meshes) {
    await mesh.stop();
    await stopMesh(mesh.state);
    removeState(mesh);
  }
});

async function started(...args: string[]): Promise<TestMesh> {
  const mesh = await startMesh([PAYROLL, ...args]);
  meshes.push(mesh);
  return mesh;
}

function processNamed({ state }: TestMesh, name: string) {
  const found = readRunBook(state)?.children.find((child) => child.name === name);
  assert.ok(found);
  return found;
}

test("status tells the mesh's age, and of a control plane that was started again its own; without one, what still runs", async () => {
  const mesh = await started();
  const before = await mesh.status();
  assert.equal(before.control.restarts, 0);
  const inState = ["--state", mesh.state.root];
  assert.doesNotMatch((await bulwark(["status", ...inState])).stdout, /restarted/);

  const first = processNamed(mesh, "control");
  process.kill(first.pid, "SIGKILL");
  await until(() => !isRunning(first), 10_000);
  await until(
    () =>
      mesh.status().then(
        () => true,
        () => false,
      ),
    10_000,
  );
  const status = await mesh.status();
  assert.equal(status.startedAt, before.startedAt);
  assert.equal(status.control.restarts, 1);
  assert.ok(status.control.startedAt > before.control.startedAt);
  assert.match(
    (await bulwark(["status", ...inState])).stdout,
    /, up for \d+s \(control for \d+s, restarted once\)/,
  );

  const control = processNamed(mesh, "control");
  mesh.up.kill("SIGKILL");
  await until(() => mesh.up.signalCode !== null);
  process.kill(control.pid, "SIGKILL");
  await until(() => !isRunning(control));
  for (const args of [["status"], ["call", "finance/intranet", "http://payroll.finance/"]]) {
    const { code, stderr } = await bulwark([...args, ...inState]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^bulwark: no control plane runs on this state folder, but 4 processes of an earlier `up` still run: `bulwark up` replaces them, `bulwark down` ends them\n$/,
    );
  }
  assert.match((await bulwark(["down", ...inState])).stdout, /^stopped: proxy /);
  assert.equal(
    (await bulwark(["status", ...inState])).stderr,
    "bulwark: no mesh runs on this state folder\n",
  );
});

test("a state folder that is removed under a running mesh is what its proxies complain of", async () => {
  const mesh = await started("--cert-ttl", "4s");
  rmSync(mesh.state.root, { recursive: true, force: true });
  const lines = () => mesh.events.filter(({ kind }) => kind === "output").map(({ line }) => String(line));
  await until(
    () => lines().some((line) => line.includes(`the state folder ${mesh.state.root} is gone`)),
    10_000,
  );
  assert.equal(await mesh.stop(), 0);
});
