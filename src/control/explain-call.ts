import type { FlowRecord } from "../model/flow-record.ts";
import { correlate } from "../telemetry/correlate.ts";
import type { FlowPage } from "../telemetry/flow-query.ts";
import type { CallAnswer } from "./workload-call.ts";

/** What the flow log says about a call. */
export interface CallAccount {
  /** Every record of it, from the client's proxy on. Empty when none was found in time. */
  readonly records: readonly FlowRecord[];
  /** The record that tells who refused or failed. */
  readonly refusal?: FlowRecord;
}

/** Proxies hand their records on within 200 ms; the far ends of a call within about the same. */
const WAIT_MS = 2500;
const POLL_MS = 100;
/** After the first record was seen, others of the same call may still be on their way from other proxies. */
const SETTLE_MS = 450;
const MAX_RECORDS = 2000;

/**
 * Finds a call's records in the flow log, waiting a little for them.
 * @param request asks control, with the admin methods.
 * @param expectRefusal wait longer for a record that refuses: the caller saw no success.
 */
export async function explainCall(
  request: (method: string, params: unknown) => Promise<unknown>,
  answer: CallAnswer,
  expectRefusal: boolean,
): Promise<CallAccount> {
  const deadline = performance.now() + WAIT_MS;
  let settledAt = Number.POSITIVE_INFINITY;
  for (;;) {
    const account = await findCall(request, answer);
    if (account.records.length > 0) settledAt = Math.min(settledAt, performance.now() + SETTLE_MS);
    const done = account.refusal !== undefined || !expectRefusal ? performance.now() >= settledAt : false;
    if (done || performance.now() >= deadline) return account;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function findCall(
  request: (method: string, params: unknown) => Promise<unknown>,
  answer: CallAnswer,
): Promise<CallAccount> {
  const since = new Date(answer.startedAtMs - 1000).toISOString();
  const page = (await request("flows.query", { filter: ["--since", since], limit: MAX_RECORDS })) as FlowPage;
  const records = page.flows.map(({ record }) => record);
  const { ip, port } = answer.local;
  const starts = records.filter(({ source }) => source?.ip === ip && source.port === port);
  // A denial first: one connection may have several records, and the refusal is what is asked for.
  const start = starts.find(({ verdict }) => verdict !== "allow") ?? starts[0];
  if (start === undefined) return { records: [] };
  const chain = correlate(records, start);
  return chain.refusal === undefined
    ? { records: chain.records }
    : { records: chain.records, refusal: chain.refusal };
}
