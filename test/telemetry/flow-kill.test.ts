import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FlowBuffer } from "../../src/telemetry/flow-buffer.ts";
import type { FlowLines } from "../../src/telemetry/flow-spill.ts";
import { FlowStore } from "../../src/telemetry/flow-store.ts";
import { BASE_MICROS, sampleDraft } from "./flow-arbitrary.ts";

/** The sample's times are old. */
const KEEP = { nowMs: () => BASE_MICROS / 1000 };
const PROGRAM = join(import.meta.dirname, "flow-process.ts");

function start(role: string, ...args: string[]): ChildProcess {
  return fork(PROGRAM, [role, ...args], { execArgv: ["--disable-warning=ExperimentalWarning"] });
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** One request at a time to the process that stores; rejects when it dies before it answers. */
function request(child: ChildProcess, lines: FlowLines): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error("the log process died"));
    child.once("exit", gone);
    child.on("message", function answer(message) {
      if (message !== "stored") return;
      child.off("exit", gone);
      child.off("message", answer);
      resolve();
    });
    child.send(lines.text, (error) => {
      if (error) reject(error);
    });
  });
}

test("kill -9 of the process that stores, again and again: every record is stored exactly once", async () => {
  const dir = mkdtempSync(join(tmpdir(), "bulwark-flow-kill-"));
  const path = join(dir, "flows.db");
  let child = start("store", path);
  await once(child, "message");
  const buffer = new FlowBuffer({
    reporter: "finance/payroll",
    spillDir: join(dir, "spill"),
    flushIntervalMs: 5,
    batchRecords: 100,
    retryMinMs: 1,
    retryMaxMs: 10,
    send: (lines) => request(child, lines),
  });
  let pushed = 0;
  try {
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 40; i++) {
        for (let n = 0; n < 50; n++) buffer.push(sampleDraft(pushed++));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await kill(child);
      buffer.push(sampleDraft(pushed++));
      child = start("store", path);
      await once(child, "message");
    }
    assert.equal(await buffer.close(10_000), true);
    await kill(child);
    const store = new FlowStore(path, KEEP);
    assert.equal(store.rows, pushed);
    assert.equal(store.count({}, ["kind"])[0]?.count, pushed);
    const paths = store.query({}, { limit: pushed, order: "oldest" }).flows.map(({ record }) => record.path);
    assert.deepEqual(
      paths,
      Array.from({ length: pushed }, (_, n) => `/accounts/${n}`),
    );
    store.close();
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
});

test("kill -9 of a proxy whose log is away: what it had flushed is sent by its next start, the unflushed tail alone is lost", async () => {
  const dir = mkdtempSync(join(tmpdir(), "bulwark-flow-kill-"));
  const child = start("proxy", dir);
  try {
    // The process pushes 3,000 records, tells when the last flush was over, then pushes 10 more that it never flushes.
    await once(child, "message");
    await kill(child);
    const store = new FlowStore(":memory:", KEEP);
    const next = new FlowBuffer({
      reporter: "finance/payroll",
      spillDir: dir,
      send: async ({ text }) => void store.insertLines(text),
    });
    assert.equal(await next.close(10_000), true);
    assert.equal(store.rows, 3000);
    store.close();
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
});
