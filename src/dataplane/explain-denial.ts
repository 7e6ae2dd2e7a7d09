import type { Mesh, Workload } from "../model/mesh.ts";
import type { AmbientPolicy } from "../policy/ambient/ambient-policy.ts";
import { explainAmbient } from "../policy/ambient/explain-ambient.ts";
import type { Connection } from "../policy/connection.ts";
import { explainInbound } from "../policy/explain.ts";
import type { HttpRequest } from "../policy/http-request.ts";
import type { InboundPolicy } from "../policy/inbound.ts";
import { explainOutbound, type OutboundQuestion } from "../policy/outbound/explain-outbound.ts";

/** Explaining costs some hundred times what deciding costs: a flood of refused requests must not buy that. */
const EXPLANATIONS_PER_SECOND = 50;
/** What a record holds of it. */
const MAX_LINES = 6;

let second = 0;
let given = 0;

/** Why a request or connection was refused, for its record; undefined when too many were explained in this second. */
export function explainDenial(
  policy: InboundPolicy,
  connection: Connection,
  request: HttpRequest | undefined,
): readonly string[] | undefined {
  if (!mayExplain()) return undefined;
  return explainInbound(policy, connection, request).slice(0, MAX_LINES);
}

/** Why a ztunnel refused a connection, for its record; undefined when too many were explained in this second. */
export function explainAmbientDenial(
  policy: AmbientPolicy,
  connection: Connection,
): readonly string[] | undefined {
  return mayExplain() ? explainAmbient(policy, connection).slice(0, MAX_LINES) : undefined;
}

/** Why the client's side refused, for its record; undefined when too many were explained in this second. */
export function explainRefusal(
  { mesh, workload }: { readonly mesh: Mesh; readonly workload: Workload },
  question: OutboundQuestion,
): readonly string[] | undefined {
  return mayExplain() ? explainOutbound(mesh, workload, question).slice(0, MAX_LINES) : undefined;
}

function mayExplain(): boolean {
  const now = Math.floor(performance.now() / 1000);
  if (now !== second) {
    second = now;
    given = 0;
  }
  given += 1;
  return given <= EXPLANATIONS_PER_SECOND;
}
