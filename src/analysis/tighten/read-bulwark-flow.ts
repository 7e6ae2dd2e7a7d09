/** Bulwark's own flow records as evidence. */
import type { FlowRecord } from "../../model/flow-record.ts";
import type { Workload } from "../../model/mesh.ts";
import { type Caller, type LeftOut, leftOut, type Reading } from "./flow-reading.ts";
import type { WorkloadNames } from "./workload-names.ts";

/** @param record one whose fields have their types (`decodeFlow`). */
export function readBulwarkFlow(record: FlowRecord, names: WorkloadNames): Reading {
  const why = noEvidence(record);
  if (why !== undefined) return leftOut(why, record.reporter);
  const timeMs = Date.parse(record.time);
  const reporter = reporterOf(record, names);
  if (reporter === undefined) return leftOut("unknown-workload", record.reporter);
  if (record.direction === "outbound") return clientFlow(record, reporter.key, timeMs);
  if (record.direction !== "inbound") return leftOut("untold", reporter.key);
  return serverFlow(record, reporter, timeMs);
}

/** A node's ztunnel speaks for the pods that it serves, and for no others. */
function reporterOf(
  { reporter, direction, source, destination }: FlowRecord,
  names: WorkloadNames,
): Workload | undefined {
  if (!reporter.startsWith(ZTUNNEL)) return names.byKey(reporter);
  const own = names.byKey((direction === "outbound" ? source : destination)?.workload ?? "");
  return own?.dataplane === "ambient" ? own : undefined;
}

/** As a ztunnel's records have it, with its node behind. */
const ZTUNNEL = "ztunnel ";

/** HTTP is told request by request; its connections say nothing more. A handshake is no permission. */
function noEvidence({ kind, protocol, verdict, truncated }: FlowRecord): LeftOut | undefined {
  if (kind !== "request" && kind !== "connection") return verdict === "deny" ? "denied" : "not-traffic";
  if (verdict === "deny") return "denied";
  if (verdict === "error") return "failed";
  // Its path is not the one that was asked for.
  if (truncated === true) return "untold";
  const isHttp = protocol !== "tcp" && protocol !== "tls";
  return kind === "connection" && isHttp ? "not-traffic" : undefined;
}

function serverFlow(record: FlowRecord, { key: workload, role }: Workload, timeMs: number): Reading {
  const { kind, method, path, status, sni, policy, rule } = record;
  const port = record.destination?.port;
  if (port === undefined || !isPort(port)) return leftOut("untold", workload);
  const service = role === "waypoint" ? record.destination?.service : undefined;
  // What was sent to a pod's own address: policies of services are not for it.
  if (role === "waypoint" && service === undefined) return leftOut("untold", workload);
  const isRequest = kind === "request";
  if (isRequest && (method === undefined || path === undefined)) return leftOut("untold", workload);
  return {
    kind: "server",
    workload,
    ...(service === undefined ? {} : { service: service.toLowerCase() }),
    port,
    caller: callerOf(record),
    http: isRequest
      ? { method: method ?? "", path: path ?? "", ...(status === undefined ? {} : { status }) }
      : null,
    isOpaque: !isRequest,
    ...(sni === undefined ? {} : { sni }),
    ...(typeof policy === "string" && typeof rule === "number" ? { policy, rule } : {}),
    timeMs,
  };
}

function callerOf({ source }: FlowRecord): Caller {
  const address = source?.ip === undefined ? {} : { ip: source.ip };
  const principal = source?.principal ?? null;
  return principal === null
    ? { principal, by: "none", ...address }
    : { principal, by: "certificate", ...address };
}

function clientFlow({ destination, protocol, sni }: FlowRecord, workload: string, timeMs: number): Reading {
  const host = destination?.host ?? destination?.service ?? sni;
  const port = destination?.port;
  if (host === undefined || host === "" || port === undefined || !isPort(port))
    return leftOut("untold", workload);
  const kind = protocol === "tcp" || protocol === "tls" ? protocol : "http";
  return { kind: "client", workload, host: host.toLowerCase(), port, protocol: kind, timeMs };
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
