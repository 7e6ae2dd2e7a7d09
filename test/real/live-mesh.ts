/** The real program, started as a user starts it, in a folder of its own; and what is left of it afterwards, seen from outside. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatusReport } from "../../src/control/messages.ts";
import type { BookedProcess, RunBook } from "../../src/control/run-book.ts";
import { type StateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import type { Assignments, PodAssignment } from "../../src/substrate/assignment.ts";
import { BULWARK, bulwark, type Finished } from "../cli/run-bulwark.ts";

/** A hundred pods on a slow machine that others use, too, take more than a minute. */
const READY_MS = 240_000;
const STOP_MS = 30_000;

export interface MeshEvent {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** What `bulwark call --format json` prints. */
export interface CallReport {
  readonly result: "answered" | "refused" | "failed";
  readonly answer: {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: string;
    readonly failure?: string;
  };
  readonly refusal: FlowRecord | null;
  readonly summary: string | null;
  readonly flows: readonly FlowRecord[];
}

/** A folder under the temp folder, short enough for a Unix socket's path. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "bw-real-"));
}

/** A mesh under test: `bulwark up` in the foreground of a process of its own, on its own state folder. */
export class LiveMesh {
  readonly state: StateFolder;
  readonly folder: string;
  #args: readonly string[];
  #up: ChildProcess | undefined;
  #ended: Promise<number | null> = Promise.resolve(null);
  #output = "";
  #errors = "";

  /** @param args sources and options of `bulwark up`. */
  constructor(args: readonly string[], statePath?: string) {
    this.folder = temporaryFolder();
    this.state = stateFolderAt(statePath ?? join(this.folder, "state"));
    this.#args = args;
  }

  static async up(args: readonly string[], statePath?: string): Promise<LiveMesh> {
    const mesh = new LiveMesh(args, statePath);
    await mesh.start();
    return mesh;
  }

  /** Starts `up`, also once more after {@link killEverything}; settles when every proxy is configured. */
  async start(): Promise<void> {
    this.#output = "";
    this.#errors = "";
    const up = spawn(
      BULWARK,
      ["up", ...this.#args, "--state", this.state.root, "--format", "json", "--quiet"],
      {
        env: { BULWARK_SUBSTRATE: "loopback", ...process.env },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#up = up;
    up.stdout.on("data", (chunk) => {
      this.#output += String(chunk);
    });
    up.stderr.on("data", (chunk) => {
      this.#errors += String(chunk);
    });
    this.#ended = new Promise((settle) => up.on("close", (code) => settle(code)));
    let ended: string | undefined;
    void this.#ended.then((code) => {
      ended = `ended with ${code}`;
    });
    const isReady = () => this.events.some(({ kind }) => kind === "ready");
    await until(() => isReady() || ended !== undefined, "up is ready", READY_MS);
    if (!isReady()) throw new Error(`up ${ended}:\n${this.#output.slice(-2000)}\n${this.#errors}`);
  }

  get upPid(): number {
    return this.#up?.pid ?? assert.fail("up was not started");
  }

  get events(): readonly MeshEvent[] {
    const lines = this.#output.slice(0, this.#output.lastIndexOf("\n") + 1).split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as MeshEvent);
  }

  /** What `up` wrote on its standard error. */
  get errors(): string {
    return this.#errors;
  }

  get assignments(): Assignments {
    return JSON.parse(readFileSync(this.state.assignments, "utf8")) as Assignments;
  }

  pod(key: string): PodAssignment {
    const found = this.assignments.pods.find(({ namespace, name }) => `${namespace}/${name}` === key);
    return found ?? assert.fail(`no pod ${key}`);
  }

  /** The processes that `up` has booked now. */
  get children(): readonly BookedProcess[] {
    return (JSON.parse(readFileSync(this.state.runBook, "utf8")) as RunBook).children;
  }

  run(command: string, ...args: readonly string[]): Promise<Finished> {
    return bulwark([command, ...args, "--state", this.state.root]);
  }

  async status(): Promise<StatusReport> {
    const { code, stdout, stderr } = await this.run("status", "--format", "json");
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as StatusReport;
  }

  async call(from: string, url: string, ...args: readonly string[]): Promise<CallReport> {
    const { code, stdout, stderr } = await this.run("call", from, url, "--format", "json", ...args);
    assert.ok(stdout.startsWith("{"), `call ${from} ${url}: exit code ${code}: ${stderr}`);
    const report = JSON.parse(stdout) as CallReport;
    assert.equal(code, { answered: 0, refused: 2, failed: 1 }[report.result], stderr);
    return report;
  }

  /** Every record in the flow log, oldest first, read from the database itself. */
  flows(where = "true"): readonly FlowRecord[] {
    const database = new DatabaseSync(this.state.flowLog, { readOnly: true, timeout: 10_000 });
    try {
      const rows = database.prepare(`SELECT body FROM flow_log WHERE ${where} ORDER BY time_us, seq`).all();
      return rows.map(({ body }) => JSON.parse(String(body)) as FlowRecord);
    } finally {
      database.close();
    }
  }

  /** Asks `up` to end as Ctrl-C does, and waits. @returns its exit code. */
  async interrupt(): Promise<number | null> {
    this.#up?.kill("SIGINT");
    return await withTimeout(this.#ended, STOP_MS, "up ends after Ctrl-C");
  }

  /** SIGKILL to `up` and to each of its children, at once. */
  killEverything(): void {
    for (const pid of [this.upPid, ...this.children.map(({ pid }) => pid)]) process.kill(pid, "SIGKILL");
  }

  /** Waits until a killed `up` is reaped. */
  async ended(): Promise<void> {
    await withTimeout(this.#ended, STOP_MS, "up ends");
  }

  /** For `after`: ends what still runs, whatever the test did, and removes the folder. */
  async dispose(): Promise<void> {
    if (this.#up !== undefined && this.#up.exitCode === null && this.#up.signalCode === null) {
      this.#up.kill("SIGINT");
      // What does not end is killed below.
      await withTimeout(this.#ended, STOP_MS, "up ends").catch(() => {});
    }
    await this.run("down");
    for (const pid of processesOn(this.state.root)) process.kill(pid, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Processes of a mesh: `up` names the state folder in its command line, each child writes its output to a file there. */
export function processesOn(statePath: string): readonly number[] {
  const root = resolve(statePath);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => readProc(`/proc/${pid}/cmdline`).includes(root) || outputOf(pid).startsWith(root))
    .map(Number);
}

function outputOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/2`);
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

/** `a.b.c.d:port` of every IPv4 socket that listens on this machine. */
export function listeners(): ReadonlySet<string> {
  const rows = readProc("/proc/net/tcp").split("\n").slice(1);
  const LISTEN = "0A";
  return new Set(
    rows.flatMap((row) => {
      const [, local = "", , state] = row.trim().split(/\s+/);
      const [address = "", port = ""] = local.split(":");
      if (state !== LISTEN) return [];
      // The kernel prints the address as a little-endian number.
      const bytes = Buffer.from(address, "hex").reverse();
      return [`${bytes.join(".")}:${Number.parseInt(port, 16)}`];
    }),
  );
}

function readProc(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

export function pause(timeoutMs: number): Promise<void> {
  return new Promise((settle) => setTimeout(settle, timeoutMs));
}

/** Waits for a condition; fails, naming it, when it does not come true in time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not true after ${timeoutMs} ms: ${what}`);
    await pause(20);
  }
}

export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not after ${timeoutMs} ms: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
