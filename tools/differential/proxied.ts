/** What stands in a proxy's own records of one client connection, and what the client saw: together an outcome for each request. */

import { type Outcome, refusedConnection } from "./outcome.ts";
import type { WireAnswer } from "./wire.ts";

/** What a proxy recorded of one request. */
export interface RequestRecord {
  readonly reason: string;
  readonly rule: string | null | undefined;
}

/** What a proxy recorded of one client connection, by its key. */
export interface ConnectionRecord {
  /** In their order; empty where no HTTP filter took the connection. */
  readonly requests: readonly RequestRecord[];
  /** Undefined until it is recorded. */
  readonly connection:
    | { readonly refusal: string | null; readonly rule: string | null | undefined }
    | undefined;
}

/** Undefined where the records are not complete yet. */
export function proxiedOutcomes(
  answers: readonly WireAnswer[],
  recordOf: (key: string) => ConnectionRecord | undefined,
): Outcome[] | undefined {
  const taken = new Map<string, number>();
  const outcomes: Outcome[] = [];
  for (const answer of answers) {
    const index = taken.get(answer.key) ?? 0;
    taken.set(answer.key, index + 1);
    const outcome = outcomeOf(answer, recordOf(answer.key), index);
    if (outcome === undefined) return undefined;
    outcomes.push(outcome);
  }
  return outcomes;
}

function outcomeOf(
  answer: WireAnswer,
  record: ConnectionRecord | undefined,
  index: number,
): Outcome | undefined {
  if (record === undefined) return undefined;
  const request = record.requests[index];
  if (request !== undefined) return requestOutcome(answer, request);
  const { connection } = record;
  if (connection === undefined) return undefined;
  if (connection.refusal !== null) return refusedConnection(connection.refusal, connection.rule);
  return { allowed: true, reason: "ok", code: 0, rule: connection.rule, forwarded: null, told: null };
}

function requestOutcome(answer: WireAnswer, { reason, rule }: RequestRecord): Outcome {
  // Who sent TLS to a port that reads HTTP cannot read the answer.
  if (answer.status === 0) return refusedConnection("tls");
  const seen = answer.fromApplication ? Buffer.from(answer.text, "base64").toString("latin1") : "";
  return {
    allowed: answer.fromApplication,
    reason: answer.fromApplication ? "ok" : reason,
    code: answer.status,
    rule,
    forwarded: seen === "" ? null : seen,
    told: answer.told,
  };
}
