import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { identifyProcess, isRunning, signalProcess } from "../../src/control/process-identity.ts";
import {
  type BookedProcess,
  lockState,
  readRunBook,
  stopLeftovers,
  writeRunBook,
} from "../../src/control/run-book.ts";
import { createStateFolder } from "../../src/control/state-folder.ts";
import {
  type ChildSpec,
  Supervisor,
  type SupervisorEvent,
  type SupervisorOptions,
} from "../../src/control/supervisor.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { until } from "./until.ts";

const folder = mkdtempSync(join(tmpdir(), "supervisor-"));
const running: Supervisor[] = [];
after(async () => {
  await Promise.all(running.map((supervisor) => supervisor.stopAll()));
  rmSync(folder, { recursive: true, force: true });
});

interface Rig {
  readonly supervisor: Supervisor;
  readonly events: SupervisorEvent[];
  booked: readonly BookedProcess[];
}

function rig(options: Partial<Pick<SupervisorOptions, "stopGraceMs" | "isFinal">> = {}): Rig {
  const events: SupervisorEvent[] = [];
  const made: Rig = {
    events,
    booked: [],
    supervisor: new Supervisor({
      onEvent: (event) => events.push(event),
      onChange: (children) => {
        made.booked = children;
      },
      firstRestartDelayMs: 5,
      maxRestartDelayMs: 40,
      stopGraceMs: 2000,
      ...options,
    }),
  };
  running.push(made.supervisor);
  return made;
}

function script(name: string, code: string, stopStage = 0): ChildSpec {
  return {
    name,
    command: process.execPath,
    args: ["-e", code],
    env: { PATH: process.env.PATH },
    logFile: join(folder, `${name}.log`),
    stopStage,
  };
}

const FOREVER = "setInterval(() => {}, 1000); console.log('up')";

function logOf(name: string): string {
  try {
    return readFileSync(join(folder, `${name}.log`), "utf8");
  } catch {
    return "";
  }
}

test("a child that is killed is back soon, and the book always names those that run", async () => {
  const { supervisor, events, ...rest } = rig();
  const made = { supervisor, events, ...rest };
  supervisor.start(script("phoenix", FOREVER));
  await until(() => logOf("phoenix") === "up\n");
  const first = events[0];
  assert.ok(first?.kind === "started");
  const killedAt = performance.now();
  process.kill(first.pid, "SIGKILL");
  await until(() => events.some((event) => event.kind === "started" && event.restarts === 1));
  // Its pause before is 5 ms; the rest is a new process, for which a busy machine may take its time.
  assert.ok(performance.now() - killedAt < 10_000);
  assert.ok(events.some((event) => event.kind === "died" && event.how === "SIGKILL"));
  await supervisor.stopAll();
  assert.deepEqual(made.booked, []);
});

test("a child that dies at once is started again with growing delays, up to the greatest", async () => {
  const { supervisor, events } = rig();
  supervisor.start(script("hopeless", "process.exit(3)"));
  await until(() => events.filter((event) => event.kind === "died").length >= 6);
  await supervisor.stopAll();
  const delays = events.flatMap((event) => (event.kind === "died" ? event.restartInMs : []));
  assert.deepEqual(delays.slice(0, 6), [5, 10, 20, 40, 40, 40]);
  assert.ok(events.some((event) => event.kind === "died" && event.how === "exit code 3"));
});

test("a command that does not exist is reported and tried again, and stops like any other", async () => {
  const { supervisor, events } = rig();
  supervisor.start({ ...script("absent", ""), command: join(folder, "no-such-command") });
  await until(() => events.filter((event) => event.kind === "not-started").length >= 2);
  await supervisor.stopAll();
  const [event] = events;
  assert.ok(event?.kind === "not-started" && /ENOENT/.test(event.why));
});

test("stopAll() ends a stage before the next one is asked, and kills what does not go", async () => {
  const { supervisor, events } = rig({ stopGraceMs: 300 });
  const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')";
  const last = `process.on('SIGTERM', () => { console.log('asked ' + Date.now()); process.exit(0) }); ${FOREVER}`;
  supervisor.start(script("stubborn", stubborn, 0));
  supervisor.start(script("last", last, 1));
  await until(() => logOf("stubborn") === "up\n" && logOf("last") === "up\n");
  const askedAt = Date.now();
  await supervisor.stopAll();
  const lastAskedAt = Number(/asked (\d+)/.exec(logOf("last"))?.[1]);
  assert.ok(lastAskedAt - askedAt >= 290, "the later stage waits for the earlier one");
  const pids = events.flatMap((event) => (event.kind === "started" ? event.pid : []));
  for (const pid of pids) assert.equal(identifyProcess(pid), undefined);
});

test("what a child started itself ends with it", async () => {
  const { supervisor } = rig();
  const parent = `const c = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {stdio: 'ignore'}); console.log(c.pid); setInterval(() => {}, 1000)`;
  supervisor.start(script("parent", parent));
  await until(() => /\d+\n/.test(logOf("parent")));
  const grandchild = identifyProcess(Number(logOf("parent").trim()));
  assert.ok(grandchild);
  await supervisor.stopAll();
  await until(() => !isRunning(grandchild));
});

test("stopLeftovers() ends what was booked, and spares a process that has only the same number", async () => {
  const { supervisor, events } = rig();
  supervisor.start(script("leftover", FOREVER));
  supervisor.start(script("stranger", FOREVER));
  await until(() => logOf("leftover") === "up\n" && logOf("stranger") === "up\n");
  const [leftover, stranger] = events.flatMap((event) => (event.kind === "started" ? event.pid : []));
  const identity = identifyProcess(leftover ?? 0);
  const other = identifyProcess(stranger ?? 0);
  assert.ok(identity !== undefined && other !== undefined);
  await stopLeftovers({
    supervisor: identity,
    startedAt: "",
    sources: [],
    children: [
      { ...identity, name: "leftover" },
      { pid: other.pid, startTime: "1", name: "stranger" },
    ],
  });
  assert.equal(isRunning(identity), false);
  assert.equal(isRunning(other), true);
  assert.equal(signalProcess({ pid: other.pid, startTime: "1" }, "SIGKILL"), false);
});

test("lockState() gives a state folder to one process, and takes it over from one that is gone", () => {
  const state = createStateFolder(join(folder, "state"));
  const release = lockState(state);
  assert.throws(
    () => lockState(state),
    (error: unknown) =>
      error instanceof BulwarkError &&
      error.code === "BW_STATE_IN_USE" &&
      error.message.includes(`process ${process.pid}`),
  );
  release();
  lockState(state)();
});

test("readRunBook() leaves out what could make a signal hit strangers", () => {
  const state = createStateFolder(join(folder, "book"));
  const good = { pid: 4711, startTime: "5", name: "ok" };
  const bad = [-1, 0, 1, 1.5, "7", null].map((pid) => ({ pid, startTime: "5", name: "bad" }));
  writeRunBook(state, {
    supervisor: { pid: 99, startTime: "1" },
    startedAt: "2026-01-01T00:00:00.000Z",
    sources: [],
    children: [good, ...bad] as BookedProcess[],
  });
  assert.deepEqual(readRunBook(state)?.children, [good]);
});

test("a child that ends in a way that is final is not started again, one that ends otherwise is", async () => {
  const { supervisor, events } = rig({ isFinal: (name, code) => name === "refuses" && code === 78 });
  supervisor.start(script("refuses", "process.exit(78)"));
  supervisor.start(script("fails", "process.exit(1)"));
  await until(
    () => events.filter(({ kind, name }) => kind === "died" && name === "fails").length >= 3,
    10_000,
  );
  await until(() => events.some(({ kind }) => kind === "gave-up"), 10_000);
  const ofRefuses = events.filter(({ name }) => name === "refuses").map(({ kind }) => kind);
  assert.deepEqual(ofRefuses, ["started", "gave-up"]);
  await supervisor.stopAll();
});
