import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Assignments } from "../substrate/assignment.ts";
import { STAND_IN_CA_FILE } from "../substrate/stand-in-authority.ts";
import { connectAdmin } from "./control-link.ts";
import { type CallAccount, explainCall } from "./explain-call.ts";
import { choosePod, simulatesExternal } from "./find-pod.ts";
import type { StateFolder } from "./state-folder.ts";
import { type CallAnswer, callAsWorkload, type WorkloadCall } from "./workload-call.ts";

/** A call with what the flow log says about it. */
export interface CallOutcome {
  readonly from: string;
  readonly call: WorkloadCall;
  readonly answer: CallAnswer;
  readonly account: CallAccount;
  readonly result: CallResult;
}

/**
 * `answered`: by the server. `refused`: by a policy of the mesh. `failed`: by neither. `unknown`: an error status came, and
 * the records that would tell whether the server or the mesh gave it are missing.
 */
export type CallResult = "answered" | "refused" | "failed" | "unknown";

/**
 * Calls as a workload of the running mesh, and finds out from the flow log who refused.
 * @param options.alwaysExplain look for the records of a call that was answered, too (takes about half a second).
 * @throws {BulwarkError} BW_CONTROL_UNREACHABLE, BW_CLI_INPUT, BW_CALL_NO_SIDECAR.
 */
export async function runCall(
  state: StateFolder,
  from: string,
  replica: number,
  wanted: WorkloadCall,
  options: { readonly alwaysExplain?: boolean } = {},
): Promise<CallOutcome> {
  const peer = await connectAdmin(state);
  try {
    const assignments = (await peer.request("pods", {}, 10_000)) as Assignments;
    const pod = choosePod(assignments, from, replica);
    const call = simulatesExternal(assignments) ? trustStandIns(state, wanted) : wanted;
    const answer = await callAsWorkload(pod, call);
    const suspicious = isSuspicious(answer);
    const account =
      suspicious || options.alwaysExplain === true
        ? await explainCall((method, params) => peer.request(method, params, 10_000), answer, suspicious)
        : { records: [] };
    return { from, call, answer, account, result: callResult(answer, account) };
  } finally {
    peer.close();
  }
}

/** Fails closed: an error of HTTP counts as the server's only where the records can tell so. */
export function callResult(answer: CallAnswer, { refusal, missing }: CallAccount): CallResult {
  if (refusal?.verdict === "deny") return "refused";
  if (answer.failure !== undefined || refusal !== undefined) return "failed";
  return isSuspicious(answer) && missing !== undefined ? "unknown" : "answered";
}

function isSuspicious({ failure, status, headers }: CallAnswer): boolean {
  return failure !== undefined || status >= 400 || grpcFailure(headers) !== undefined;
}

/** gRPC tells what went wrong beside status 200: a proxy that refuses does so in the headers, as there is no message (`Trailers-Only`). */
export function grpcFailure(headers: CallAnswer["headers"]): string | undefined {
  const status = headers.find(([name]) => name.toLowerCase() === "grpc-status")?.[1];
  return status === undefined || status.trim() === "0" ? undefined : status.trim();
}

function trustStandIns(state: StateFolder, call: WorkloadCall): WorkloadCall {
  const standIns = readFileSync(join(state.standInFolder, STAND_IN_CA_FILE), "utf8");
  return { ...call, caPem: `${call.caPem ?? ""}${standIns}` };
}
