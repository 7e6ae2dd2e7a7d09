/** Certificates of three seconds, renewed by every proxy all the time: `bulwark ca status` raises no alarm about what is in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaAlert, CaReport } from "../../src/control/revocation/messages.ts";
import { LiveMesh, pause, until } from "./live-mesh.ts";

const WATCH_MS = 30_000;

test("with --cert-ttl 3s there is no false alarm for half a minute, a control plane that is killed meanwhile and a rotation included", async (t) => {
  const mesh = await LiveMesh.up(["../shared/scenarios/payroll", "--cert-ttl", "3s"]);
  t.after(() => mesh.dispose());
  const alerts: CaAlert[] = [];
  let serials = 0;
  let looks = 0;
  const look = async (): Promise<void> => {
    const { code, stdout } = await mesh.run("ca", "status", "--format", "json");
    if (code !== 0) return;
    const report = JSON.parse(stdout) as CaReport;
    looks += 1;
    serials = Math.max(serials, report.certificates.length);
    // A machine that stood still for seconds is no false alarm: its proxies refuse everything then.
    alerts.push(...report.alerts.filter(({ kind }) => kind !== "certificate-ending"));
  };
  const watch = async (): Promise<void> => {
    for (const endMs = performance.now() + WATCH_MS / 3; performance.now() < endMs; await pause(200))
      await look();
  };
  await watch();
  const control = () => mesh.children.find(({ name }) => name === "control")?.pid;
  const killed = control() ?? assert.fail();
  process.kill(killed, "SIGKILL");
  await until(() => control() !== undefined && control() !== killed, "control is back");
  await watch();
  const rotated = await mesh.run("ca", "rotate-intermediate");
  assert.equal(rotated.code, 0, rotated.stderr);
  await watch();
  assert.deepEqual(alerts, []);
  assert.ok(looks > 10 && serials > 3, `${looks} looks, ${serials} certificates`);
  t.diagnostic(`${looks} looks`);
});
