import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf, refusalText } from "../../src/cli/render/call.ts";
import { explainCall } from "../../src/control/explain-call.ts";
import { type CallOutcome, callResult } from "../../src/control/run-call.ts";
import type { CallAnswer } from "../../src/control/workload-call.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";

const LOCAL = { ip: "127.1.1.1", port: 40_000 };
const RECORD: FlowRecord = {
  id: "a1",
  time: "2026-01-01T00:00:00.000000000Z",
  kind: "request",
  reporter: "finance/intranet",
  direction: "outbound",
  source: LOCAL,
  verdict: "allow",
};

function answer(status: number, failure?: string): CallAnswer {
  return {
    status,
    statusText: "",
    httpVersion: "1.1",
    headers: [],
    body: Buffer.from(""),
    local: LOCAL,
    durationMs: 1,
    startedAtMs: Date.parse(RECORD.time),
    ...(failure === undefined ? {} : { failure }),
  };
}

/** Control with these records, and a flow log that takes no more when a problem is given. */
function control(records: readonly FlowRecord[], problem: string | null) {
  return async (method: string) =>
    method === "status"
      ? { flowLog: { ok: problem === null, message: problem, rows: 0 } }
      : { flows: records.map((record) => ({ record })) };
}

async function outcomeOf(seen: CallAnswer, ask: Parameters<typeof explainCall>[0]): Promise<CallOutcome> {
  const account = await explainCall(ask, seen, true, 50);
  const url = new URL("http://payroll.finance/accounts/7");
  const call = { url, method: "GET", headers: [], http2: false, timeoutMs: 1, insecure: false };
  return { from: "finance/intranet", call, answer: seen, account, result: callResult(seen, account) };
}

test("an error status never counts as answered while the flow log cannot be written", async () => {
  for (const records of [[], [RECORD]]) {
    const outcome = await outcomeOf(answer(403), control(records, "disk full"));
    assert.deepEqual([outcome.result, exitCodeOf(outcome)], ["unknown", 1]);
    assert.match(
      refusalText(outcome),
      /the flow log cannot be written \(disk full\), so who refused or failed is not known/,
    );
  }
});

test("a gRPC refusal comes with status 200, and is one all the same", async () => {
  const grpc = (status: string): CallAnswer => ({ ...answer(200), headers: [["grpc-status", status]] });
  const denied: FlowRecord = { ...RECORD, verdict: "deny", layer: "rbac", reason: "deny-matched" };
  const refused = await outcomeOf(grpc("7"), control([denied], null));
  assert.deepEqual([refused.result, exitCodeOf(refused)], ["refused", 2]);
  assert.match(refusalText(refused), /HTTP 200, grpc-status 7/);
  const own = await outcomeOf(grpc("7"), control([RECORD], null));
  assert.deepEqual([own.result, exitCodeOf(own)], ["answered", 0]);
  const unlogged = await outcomeOf(grpc("7"), control([], null));
  assert.deepEqual([unlogged.result, exitCodeOf(unlogged)], ["unknown", 1]);
  const good = await outcomeOf(grpc("0"), control([], "disk full"));
  assert.equal(good.result, "answered");
});

test("an error status without any record, or with a log that cannot be read, is of unknown origin", async () => {
  const bare = await outcomeOf(answer(503), control([], null));
  assert.deepEqual([bare.result, exitCodeOf(bare)], ["unknown", 1]);
  const away = await outcomeOf(answer(401), async () => {
    throw new Error("control is gone");
  });
  assert.equal(away.result, "unknown");
  assert.match(refusalText(away), /cannot be read \(control is gone\)/);
});

test("a failed connection says that the flow log cannot be written, not that it knows nothing", async () => {
  const outcome = await outcomeOf(answer(0, "connection reset"), control([], "disk full"));
  assert.deepEqual([outcome.result, exitCodeOf(outcome)], ["failed", 1]);
  assert.match(refusalText(outcome), /cannot be written \(disk full\)/);
  assert.doesNotMatch(refusalText(outcome), /nothing in the flow log/);
});

test("a server's own error is answered while its records are there, and a recorded denial refused even without room", async () => {
  const own = await outcomeOf(answer(404), control([RECORD], null));
  assert.deepEqual([own.result, exitCodeOf(own)], ["answered", 0]);
  const denied = await outcomeOf(answer(403), control([{ ...RECORD, verdict: "deny" }], "disk full"));
  assert.deepEqual([denied.result, exitCodeOf(denied)], ["refused", 2]);
});
