import type { FlowRecord } from "../model/flow-record.ts";
import { correlate } from "../telemetry/correlate.ts";
import type { FlowPage } from "../telemetry/flow-query.ts";
import type { StatusReport } from "./messages.ts";
import type { CallAnswer } from "./workload-call.ts";

/** What the flow log says about a call. */
export interface CallAccount {
  /** Every record of it, from the client's proxy on. Empty when none was found in time. */
  readonly records: readonly FlowRecord[];
  /** The record that tells who refused or failed. */
  readonly refusal?: FlowRecord;
  /** Why records that would tell who answered are not there; undefined when none is missed. */
  readonly missing?: string;
}

type AskControl = (method: string, params: unknown) => Promise<unknown>;

/** Proxies hand their records on within 200 ms; the far ends of a call within about the same. */
const WAIT_MS = 2500;
const POLL_MS = 100;
/** After the first record was seen, others of the same call may still be on their way from other proxies. */
const SETTLE_MS = 450;
const MAX_RECORDS = 2000;

/**
 * Finds a call's records in the flow log, waiting a little for them. Never rejects: a log that cannot be read is told of as `missing`.
 * @param request asks control, with the admin methods.
 * @param expectRefusal wait longer for a record that refuses: the caller saw no success.
 */
export async function explainCall(
  request: AskControl,
  answer: CallAnswer,
  expectRefusal: boolean,
  waitMs = WAIT_MS,
): Promise<CallAccount> {
  try {
    const account = await awaitRecords(request, answer, expectRefusal, waitMs);
    if (account.refusal !== undefined) return account;
    const missing = await whyMissing(request, account);
    return missing === undefined ? account : { ...account, missing };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { records: [], missing: `the flow log cannot be read (${why})` };
  }
}

/** A log that takes no records now may have lost any of them, the one that refuses too. */
async function whyMissing(request: AskControl, { records }: CallAccount): Promise<string | undefined> {
  const { flowLog } = (await request("status", {})) as Pick<StatusReport, "flowLog">;
  if (!flowLog.ok) return `the flow log cannot be written (${flowLog.message ?? "unknown error"})`;
  return records.length === 0 ? "the flow log has no record of it" : undefined;
}

async function awaitRecords(
  request: AskControl,
  answer: CallAnswer,
  expectRefusal: boolean,
  waitMs: number,
): Promise<CallAccount> {
  const deadline = performance.now() + waitMs;
  let settledAt = Number.POSITIVE_INFINITY;
  for (;;) {
    const account = await findCall(request, answer);
    if (account.records.length > 0) settledAt = Math.min(settledAt, performance.now() + SETTLE_MS);
    const done = account.refusal !== undefined || !expectRefusal ? performance.now() >= settledAt : false;
    if (done || performance.now() >= deadline) return account;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function findCall(request: AskControl, answer: CallAnswer): Promise<CallAccount> {
  const since = new Date(answer.startedAtMs - 1000).toISOString();
  const page = (await request("flows.query", { filter: ["--since", since], limit: MAX_RECORDS })) as FlowPage;
  const records = page.flows.map(({ record }) => record);
  const { ip, port } = answer.local;
  const starts = records.filter(
    ({ source, traceId }) =>
      (source?.ip === ip && source.port === port) || (traceId !== undefined && traceId === answer.traceId),
  );
  // A denial first: one connection may have several records, and the refusal is what is asked for.
  const start = starts.find(({ verdict }) => verdict !== "allow") ?? starts[0];
  if (start === undefined) return { records: [] };
  const chain = correlate(records, start);
  return chain.refusal === undefined
    ? { records: chain.records }
    : { records: chain.records, refusal: chain.refusal };
}
