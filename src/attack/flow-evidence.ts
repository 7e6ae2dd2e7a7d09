import type { FlowRecord } from "../model/flow-record.ts";
import { describeRefusal } from "../telemetry/correlate.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import type { Local } from "./wire.ts";

const POLL_MS = 60;

/** The records of one connection, by the attacker's end of it; waits a little for them. */
export async function recordsOf(
  mesh: MeshUnderAttack,
  local: Local,
  startedAtMs: number,
  wanted: (records: readonly FlowRecord[]) => boolean = (records) => records.length > 0,
  withinMs: number = mesh.logWaitMs,
): Promise<readonly FlowRecord[]> {
  const since = new Date(startedAtMs - 500).toISOString();
  const filter = ["--peer", `${local.ip}:${local.port}`, "--since", since];
  const deadline = performance.now() + Math.min(withinMs, mesh.logWaitMs * 10);
  for (;;) {
    const records = await mesh.records(filter);
    if (wanted(records) || performance.now() > deadline) return records;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The record that tells who refused the connection, or failed. */
export async function refusalOf(
  mesh: MeshUnderAttack,
  local: Local,
  startedAtMs: number,
  withinMs?: number,
): Promise<FlowRecord | undefined> {
  const isRefusal = ({ verdict }: FlowRecord) => verdict !== "allow";
  const records = await recordsOf(mesh, local, startedAtMs, (found) => found.some(isRefusal), withinMs);
  return records.find(({ verdict }) => verdict === "deny") ?? records.find(isRefusal);
}

/** `istio-egress/gw refused by AuthorizationPolicy … (authorization: no-allow-matched)` */
export function wordsOf(record: FlowRecord): string {
  return describeRefusal(record);
}
