/**
 * Fifty times up and down, some of it by a kill -9: no namespace, mount, or process stays. And many pods at once, with what
 * they cost.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { curl, leftBehind, SKIP } from "./netns/in-pod.ts";

const CYCLES = 50;
const KILL_EVERY = 10;
const PODS = 100;
/** Of memory that a proxy shares with no other process: 35 to 40, and 58 where it finds no compiled code (compiled-code.ts). */
const MAX_OWN_MIB = 48;

const files = temporaryFolder();
after(() => rmSync(files, { recursive: true, force: true }));

function meshFile(pods: number): string {
  const workloads = Array.from(
    { length: pods },
    (_, i) => `
---
apiVersion: v1
kind: Service
metadata: {name: w${i}, namespace: big}
spec: {selector: {app: w${i}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w${i}, namespace: big}
spec:
  selector: {matchLabels: {app: w${i}}}
  template:
    metadata: {labels: {app: w${i}}}
    spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}`,
  );
  const file = join(files, `${pods}.yaml`);
  const head = "apiVersion: v1\nkind: Namespace\nmetadata: {name: big, labels: {istio-injection: enabled}}";
  writeFileSync(file, `${head}${workloads.join("")}\n`);
  return file;
}

function ownMebibytes(pid: number): number {
  const rows = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(
    /^Private_(?:Clean|Dirty): +(\d+) kB/gm,
  );
  return [...rows].reduce((sum, [, kib]) => sum + Number(kib), 0) / 1024;
}

test(`${CYCLES} times up and down, every ${KILL_EVERY}th by a kill -9, leave nothing`, {
  skip: SKIP,
}, async () => {
  const mesh = new LiveMesh([meshFile(1), "--substrate", "netns"]);
  try {
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      await mesh.start();
      if (cycle === 1) assert.ok(leftBehind(mesh.state.root).length > 3, "the check would see what is there");
      if (cycle % KILL_EVERY > 0) {
        assert.equal(await mesh.interrupt(), 0);
      } else {
        process.kill(mesh.upPid, "SIGKILL");
        await mesh.ended();
        // Half of these are cleared by `down`, the others by the next `up`.
        if (cycle % (2 * KILL_EVERY) === 0) assert.equal((await mesh.run("down")).code, 0);
        else continue;
      }
      assert.deepEqual(leftBehind(mesh.state.root), [], `cycle ${cycle}`);
    }
  } finally {
    await mesh.dispose();
  }
  assert.deepEqual(leftBehind(mesh.state.root), []);
});

test(`${PODS} pods come up, reach each other, and go without a trace`, { skip: SKIP }, async (t) => {
  const startedMs = performance.now();
  const mesh = await LiveMesh.up([meshFile(PODS), "--substrate", "netns"]);
  try {
    t.diagnostic(`${PODS} pods in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    const proxies = mesh.children.filter(({ name }) => name.startsWith("proxy "));
    assert.equal(proxies.length, PODS);
    const own = proxies.map(({ pid }) => ownMebibytes(pid)).sort((a, b) => a - b);
    t.diagnostic(
      `memory of its own of a proxy: ${own[PODS / 2]?.toFixed(1)} MiB, at most ${own.at(-1)?.toFixed(1)} MiB`,
    );
    assert.ok((own[PODS / 2] ?? Number.NaN) <= MAX_OWN_MIB, String(own[PODS / 2]));
    for (const [from, to] of [
      [0, PODS - 1],
      [PODS - 1, PODS / 2],
    ] as const)
      await until(
        async () => (await curl(mesh, `big/w${from}`, [`http://w${to}/`])).status === 200,
        `${from} → ${to}`,
      );
    assert.equal(await mesh.interrupt(), 0);
  } finally {
    await mesh.dispose();
  }
  assert.deepEqual(leftBehind(mesh.state.root), []);
});
