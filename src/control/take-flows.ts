import type { InsertOptions } from "../telemetry/flow-store.ts";
import type { FlowLog } from "./flow-log.ts";
import { fieldsOf, listField } from "./messages.ts";

/**
 * `flows` of a proxy: batches, or records that had waited on disk.
 * @param sender what it may report as.
 * @throws {BulwarkError} BW_RPC_BAD_PARAMS, BW_FLOWS_UNAVAILABLE.
 */
export function takeFlows(flowLog: FlowLog, params: unknown, sender: InsertOptions): void {
  if ("batches" in fieldsOf(params))
    flowLog.insertBatches(
      listField(params, "batches").map((batch) => Buffer.from(String(batch), "base64")),
      sender,
    );
  else flowLog.insert(listField(params, "records"), sender);
}
