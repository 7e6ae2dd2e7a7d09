import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isRunning, type ProcessIdentity } from "../../src/control/process-identity.ts";
import { readRunBook } from "../../src/control/run-book.ts";
import { stateFolderAt } from "../../src/control/state-folder.ts";
import { BULWARK } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";

const PAYROLL = "../shared/scenarios/payroll";
/** A child that does not stop is killed after 5 s; the wait for a mesh to be ready, which once held `up`, is 60 s. */
const END_TIMEOUT_MS = 8000;
const folder = mkdtempSync(join(tmpdir(), "interrupted-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function up(name: string, ...args: string[]) {
  const state = stateFolderAt(join(folder, name));
  const child = spawn(BULWARK, ["up", PAYROLL, "--state", state.root, "--quiet", ...args], {
    stdio: "ignore",
  });
  const ended = new Promise<string>((settle) =>
    child.once("exit", (code, signal) => settle(signal ?? `${code}`)),
  );
  const orKilled = async () => {
    const how = await Promise.race([ended, delay(END_TIMEOUT_MS, "still running", { ref: false })]);
    child.kill("SIGKILL");
    return how;
  };
  return { state, child, ended: orKilled };
}

test("Ctrl-C at any moment of the start ends `up` and all that it started", async () => {
  for (let afterMs = 100; afterMs <= 2000; afterMs += 270) {
    const { state, child, ended } = up(`at-${afterMs}`);
    await delay(afterMs);
    const children: readonly ProcessIdentity[] = readRunBook(state)?.children ?? [];
    child.kill("SIGINT");
    const how = await ended();
    // Node's own end before `up` listens, `up`'s during the start, and that of a mesh that was ready.
    assert.ok(["SIGINT", "130", "0"].includes(how), `after ${afterMs} ms: ${how}`);
    assert.deepEqual(children.filter(isRunning), [], `after ${afterMs} ms`);
    assert.equal(readRunBook(state), undefined);
    assert.equal(existsSync(state.lock), false);
  }
});

test("a second Ctrl-C ends everything at once, an application too that takes no notice of signals", async () => {
  const trapped = join(folder, "trapped");
  const { state, child, ended } = up(
    "impatient",
    "--app",
    `finance/payroll=trap '' TERM INT; touch '${trapped}'; while true; do sleep 1; done`,
  );
  const application = () => readRunBook(state)?.children.find(({ name }) => name.startsWith("app "));
  await until(() => application() !== undefined, 10_000);
  const stubborn = application();
  assert.ok(stubborn);
  // The shell has to have come to its trap.
  await until(() => existsSync(trapped), 10_000);
  child.kill("SIGINT");
  await delay(600);
  assert.ok(isRunning(stubborn), "the first asks politely");
  const secondAt = performance.now();
  child.kill("SIGINT");
  assert.equal(await ended(), "130");
  assert.ok(performance.now() - secondAt < 4000);
  await until(() => !isRunning(stubborn), 1000);
  assert.equal(readRunBook(state), undefined);
});

test("a CA that cannot be opened ends `up` at once, with its code, its reason and 1", async () => {
  const root = join(folder, "refused");
  const state = stateFolderAt(root);
  mkdirSync(state.caFolder, { recursive: true, mode: 0o700 });
  chmodSync(root, 0o700);
  writeFileSync(join(state.caFolder, "records.sqlite"), "no database at all ".repeat(500), { mode: 0o600 });
  const child = spawn(BULWARK, ["up", PAYROLL, "--state", root, "--quiet"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  const ended = new Promise((settle) => child.once("close", settle));
  // The wait for a mesh to be ready is 60 s.
  const how = await Promise.race([ended, delay(50_000, "still running", { ref: false })]);
  child.kill("SIGKILL");
  assert.equal(how, 1, said);
  assert.match(said, /^bulwark: .*\(BW_CA_[A-Z_]+\)$/m);
  assert.doesNotMatch(said, /control died/);
  assert.equal(readRunBook(state), undefined);
});
