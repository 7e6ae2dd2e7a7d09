import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { thisProgram } from "../../src/cli/this-program.ts";
import type { ChildProgram } from "../../src/control/child-specs.ts";
import type { ListeningPart } from "../../src/control/listening-parts.ts";
import { runCall } from "../../src/control/run-call.ts";
import type { RunningMesh } from "../../src/control/running-mesh.ts";
import { startMesh } from "../../src/control/start-mesh.ts";
import { until } from "./until.ts";

/** This program, one part of which starts only once a file is there: however fast the machine, all else is ready before it. */
function programHolding(part: ListeningPart, released: string): ChildProgram {
  const { command, args, env = {} } = thisProgram();
  const partAt = `"\${${args.length + 2}}"`;
  const script = `if [ ${partAt} = "$HELD" ]; then until [ -e "$RELEASED" ]; do sleep 0.05; done; fi; exec "$@"`;
  return {
    command: "/bin/sh",
    args: ["-c", script, "sh", command, ...args],
    env: { ...env, HELD: part, RELEASED: released },
  };
}

async function withHeldBack(
  part: ListeningPart,
  work: (mesh: RunningMesh, release: () => void) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ready-"));
  const released = join(folder, "released");
  try {
    cpSync("../shared/scenarios/payroll", join(folder, "files"), { recursive: true });
    const mesh = await startMesh({
      statePath: join(folder, "state"),
      sources: [join(folder, "files")],
      certTtlSeconds: 0,
      simulateExternal: true,
      applications: new Map(),
      program: programHolding(part, released),
      showFlows: false,
      onEvent: () => {},
    });
    assert.ok(mesh.ok);
    try {
      await work(mesh, () => writeFileSync(released, ""));
    } finally {
      await mesh.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** While control does not answer yet nothing is. */
async function isAllButOneReady(mesh: RunningMesh): Promise<boolean> {
  const status = await mesh.status().catch(() => undefined);
  const proxies = status?.pods.map(({ configurationVersion }) => configurationVersion) ?? [0];
  return status?.parts.length === 1 && !proxies.includes(0);
}

for (const part of ["apps", "externals"] as const)
  test(`a mesh is ready when ${part} listen, not when only its proxies do`, async () => {
    await withHeldBack(part, async (mesh, release) => {
      let isReady = false;
      const ready = mesh.untilReady(60_000).then(() => {
        isReady = true;
      });
      await until(() => isAllButOneReady(mesh), 40_000);
      assert.equal(isReady, false);
      release();
      await ready;
      const { configuration, parts } = await mesh.status();
      assert.deepEqual(parts.map((entry) => [entry.part, entry.listeningVersion]).sort(), [
        ["apps", configuration.version],
        ["externals", configuration.version],
      ]);
      const url = new URL("http://payroll.finance/accounts/7");
      const call = { url, method: "GET", headers: [], http2: false, timeoutMs: 10_000, insecure: false };
      const { answer } = await runCall(mesh.state, "finance/account-auditor", 0, call);
      assert.equal(answer.status, 200);
    });
  });

test("a mesh of which nothing more becomes ready is given up, and what is missing is named", async () => {
  await withHeldBack("apps", async (mesh) => {
    await until(() => isAllButOneReady(mesh), 40_000);
    await assert.rejects(mesh.untilReady(300), /nothing became ready for 0\.3 s: apps/);
  });
});
