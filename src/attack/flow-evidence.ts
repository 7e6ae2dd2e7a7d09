import { isIPv6 } from "node:net";
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
  const peer = isIPv6(local.ip) ? `[${local.ip}]` : local.ip;
  const filter = ["--peer", `${peer}:${local.port}`, "--since", since];
  return await awaitRecords(mesh, filter, wanted, withinMs);
}

async function awaitRecords(
  mesh: MeshUnderAttack,
  filter: readonly string[],
  wanted: (records: readonly FlowRecord[]) => boolean,
  withinMs: number,
): Promise<readonly FlowRecord[]> {
  const deadline = performance.now() + Math.min(withinMs, mesh.logWaitMs * 10);
  for (;;) {
    const records = await mesh.records(filter);
    if (wanted(records) || performance.now() > deadline) return records;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The firewall tells of one attempt of the same addresses and protocol in two minutes. */
const SAME_ATTEMPT_MS = 180_000;

/** The record of a packet without ports, or under a forged address, that the firewall outside of the pods dropped. */
export async function dropOf(
  mesh: MeshUnderAttack,
  {
    host,
    protocol,
    forged = false,
  }: { readonly host: string; readonly protocol?: string; readonly forged?: boolean },
): Promise<FlowRecord | undefined> {
  const since = new Date(Date.now() - SAME_ATTEMPT_MS).toISOString();
  const isIt = (record: FlowRecord): boolean =>
    record.destination?.ip === host &&
    (record.reason === "spoofed-address") === forged &&
    record.protocol === protocol;
  const filter = ["--layer", "network", "--since", since];
  const records = await awaitRecords(mesh, filter, (found) => found.some(isIt), mesh.logWaitMs * 2);
  return records.find(isIt);
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

/** The refusal of a connection to a workload, by whoever stands before it: where others of the mesh's lie between, the attacker's end does not name it. */
export async function refusalAt(
  mesh: MeshUnderAttack,
  workload: string,
  startedAtMs: number,
): Promise<FlowRecord | undefined> {
  const since = new Date(startedAtMs - 50).toISOString();
  const isIt = ({ destination, reporter }: FlowRecord): boolean =>
    destination?.workload === workload || reporter === workload;
  const filter = ["--verdict", "deny", "--since", since];
  const records = await awaitRecords(mesh, filter, (found) => found.some(isIt), mesh.logWaitMs * 2);
  return records.find(isIt);
}
