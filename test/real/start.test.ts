/** What a newcomer types, `npm start`: up in half a minute, the five calls come out as they should, Ctrl-C leaves nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { stateFolderAt } from "../../src/control/state-folder.ts";
import type { Assignments } from "../../src/substrate/assignment.ts";
import { processesOn, temporaryFolder, until, withTimeout } from "./live-mesh.ts";
import { program } from "./programs.ts";

const UP_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 15_000;

const CALLS: readonly (readonly [call: string, outcome: string])[] = [
  ["team-a/app-a → https://www.ibm.com/", "answered"],
  ["team-b/app-b → https://mongo1.composedb.com/", "answered"],
  ["team-a/app-a → https://mongo1.composedb.com/", "refused   istio-egress/istio-egressgateway refused"],
  ["team-b/app-b → https://www.ibm.com/", "refused   istio-egress/istio-egressgateway refused"],
  ["team-a/app-a → https://www.example.org/", "refused   team-a/app-a refused"],
];

/** Runs a command as a terminal does, in a process group of its own, until the demo has ended; then Ctrl-C. */
async function demo(
  t: TestContext,
  command: readonly string[],
): Promise<{ output: string; assignments: Assignments }> {
  const folder = temporaryFolder();
  const state = stateFolderAt(join(folder, "state"));
  const [first = "", ...args] = command;
  const child = spawn(first, args, {
    cwd: resolve(import.meta.dirname, "../.."),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, BULWARK_STATE: state.root, NO_COLOR: "1" },
  });
  t.after(() => {
    for (const pid of processesOn(state.root)) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  const ended = new Promise((settle) => child.on("close", () => settle(undefined)));
  await until(() => output.includes("Try it: "), "the demo has ended", UP_WITHIN_MS).catch(() =>
    assert.fail(output),
  );
  const assignments = JSON.parse(readFileSync(state.assignments, "utf8")) as Assignments;
  process.kill(-(child.pid ?? assert.fail("not started")), "SIGINT");
  await withTimeout(ended, STOP_WITHIN_MS, "it ends after Ctrl-C");
  assert.deepEqual(processesOn(state.root), []);
  for (const file of [state.controlSocket, state.lock, state.runBook]) assert.ok(!existsSync(file), file);
  return { output, assignments };
}

function assertCalls(output: string): void {
  for (const [call, outcome] of CALLS) {
    const line = output.split("\n").find((candidate) => candidate.includes(`${call} `));
    assert.match(line ?? "", /^✔/, call);
    assert.ok(line?.includes(outcome), line ?? call);
  }
  assert.doesNotMatch(output, /✘|BUG|\n {4}at /);
}

test("npm start shows the egress mesh with its allowed and refused calls, and ends with Ctrl-C", async (t) => {
  const { output } = await demo(t, [program("npm"), "start"]);
  assertCalls(output);
  assert.match(
    output,
    /the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy istio-egress\/a-to-ibm/,
  );
  assert.match(output, /stopped; nothing is left running/);
});

test("the same without any right on the machine: ports below 1024 move, and it is said", async (t) => {
  assert.equal(process.getuid?.(), 0, "dropping capabilities needs root");
  const { output, assignments } = await demo(t, [
    program("setpriv"),
    "--bounding-set=-all",
    "--inh-caps=-all",
    "bin/bulwark",
    "up",
    "examples/egress",
    "--simulate-external",
    "--demo",
  ]);
  assertCalls(output);
  // Some systems let everybody bind low ports; then nothing moves.
  const firstFree = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "latin1"));
  assert.equal(assignments.privilegedPortOffset, firstFree > 443 ? 61_000 : 0);
  assert.equal(/ports below 1024 need a right that is missing/.test(output), firstFree > 443);
});
