import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAdmin } from "../../src/control/control-link.ts";
import type { StatusReport } from "../../src/control/messages.ts";
import { type CallOutcome, runCall } from "../../src/control/run-call.ts";
import { type StateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import type { WorkloadCall } from "../../src/control/workload-call.ts";
import { BULWARK } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";

/** A mesh brought up by the real program on a state folder of its own. */
export interface TestMesh {
  readonly state: StateFolder;
  readonly up: ChildProcess;
  /** What `up --format json` has told so far. */
  readonly events: readonly Record<string, unknown>[];
  readonly call: (
    from: string,
    url: string,
    options?: Partial<WorkloadCall>,
    replica?: number,
  ) => Promise<CallOutcome>;
  readonly status: () => Promise<StatusReport>;
  /** Ctrl-C; the exit code. */
  readonly stop: () => Promise<number | null>;
}

const START_TIMEOUT_MS = 40_000;

export async function startMesh(
  args: readonly string[],
  statePath: string = mkdtempSync(join(tmpdir(), "e2e-")),
): Promise<TestMesh> {
  const events: Record<string, unknown>[] = [];
  const up = spawn(BULWARK, ["up", ...args, "--state", statePath, "--format", "json"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((settle) => up.once("exit", (code) => settle(code)));
  let said = "";
  up.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  let pending = "";
  up.stdout.on("data", (chunk) => {
    const lines = (pending + String(chunk)).split("\n");
    pending = lines.pop() ?? "";
    for (const line of lines) events.push(JSON.parse(line));
  });
  await until(() => {
    if (up.exitCode !== null)
      throw new Error(`up ended with ${up.exitCode}: ${said} ${JSON.stringify(events)}`);
    return events.some(({ kind }) => kind === "ready");
  }, START_TIMEOUT_MS);
  const state = stateFolderAt(statePath);
  return {
    state,
    up,
    events,
    call: (from, url, options = {}, replica = 0) =>
      runCall(state, from, replica, { ...callOf(url), ...options }),
    status: () => statusOf(state),
    stop: () => {
      up.kill("SIGINT");
      return exited;
    },
  };
}

export function removeState(mesh: TestMesh): void {
  rmSync(mesh.state.root, { recursive: true, force: true });
}

async function statusOf(state: StateFolder): Promise<StatusReport> {
  const peer = await connectAdmin(state);
  const report = (await peer.request("status", {}, 10_000)) as StatusReport;
  peer.close();
  return report;
}

function callOf(url: string): WorkloadCall {
  return { url: new URL(url), method: "GET", headers: [], http2: false, timeoutMs: 10_000, insecure: false };
}
