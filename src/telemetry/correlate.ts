import type { FlowRecord } from "../model/flow-record.ts";
import { rfc3339Micros } from "./flow-time.ts";

/** The records of one request or connection through the mesh. */
export interface FlowChain {
  /** From the client's proxy to the last one that saw it; records of one hop stand together, handshake first. */
  readonly records: readonly FlowRecord[];
  /** The record that tells who refused: the denial farthest from the client, else the error farthest; undefined when all passed. */
  readonly refusal: FlowRecord | undefined;
}

/** Two machines' clocks, and a record's own delay: how far apart the two ends of one connection may say that it began. */
const SLACK_MICROS = 2_000_000;

/**
 * Finds what belongs to the same request as `start`.
 *
 * HTTP: records with its trace id. Otherwise, and where a hop did not pass the trace on: the client's `upstream` (address, port and
 * local port) is the server's `destination` and `source.port`. Local ports are used again, so the times have to fit as well, and of
 * several requests on one pooled connection those of another trace, or with another method or path, are left out.
 * @param records any superset, of any order, e.g. what the reporters wrote within the call's time.
 */
export function correlate(records: readonly FlowRecord[], start: FlowRecord): FlowChain {
  const members = new Set([start]);
  const depth = new Map([[start, 0]]);
  for (const member of members) {
    const at = depth.get(member) ?? 0;
    for (const other of records) {
      if (members.has(other) || !maySame(start, other)) continue;
      const step = stepBetween(member, other);
      if (step === undefined) continue;
      members.add(other);
      depth.set(other, at + step);
    }
  }
  placeTraced(records, start, members, depth);
  const sorted = [...members].sort((a, b) => compareHops(a, b, depth));
  return { records: sorted, refusal: findRefusal(sorted) };
}

/** Every chain among the records, each record in one at most, in the order of their first records. */
export function correlateAll(records: readonly FlowRecord[]): readonly FlowChain[] {
  const left = new Set(records);
  const chains: FlowChain[] = [];
  for (const record of [...records].sort(byTime)) {
    if (!left.has(record)) continue;
    const chain = correlate([...left], record);
    for (const member of chain.records) left.delete(member);
    chains.push(chain);
  }
  return chains;
}

/** Who refused, in words: `finance/payroll refused by AuthorizationPolicy finance/x rule 0 (rbac: no-allow-matched)`. */
export function describeRefusal(refusal: FlowRecord): string {
  const verb = refusal.verdict === "deny" ? "refused" : "failed";
  const by = typeof refusal.policy === "string" ? ` by ${refusal.policy}` : "";
  const rule = by !== "" && typeof refusal.rule === "number" ? ` rule ${refusal.rule}` : "";
  const why = [refusal.layer, refusal.reason].filter((word) => word !== undefined && word !== "").join(": ");
  return `${refusal.reporter} ${verb}${by}${rule}${why === "" ? "" : ` (${why})`}`;
}

/** 0: same hop; 1: `other` is the next; -1: the one before; undefined: not joined by address. */
function stepBetween(member: FlowRecord, other: FlowRecord): number | undefined {
  if (isSameConnection(member, other)) return 0;
  if (isNextHop(member, other)) return 1;
  return isNextHop(other, member) ? -1 : undefined;
}

function isSameConnection(a: FlowRecord, b: FlowRecord): boolean {
  return a.connectionId !== undefined && a.connectionId === b.connectionId && a.reporter === b.reporter;
}

/** Whether the server's record is of the connection that the client's proxy opened. */
function isNextHop(client: FlowRecord, server: FlowRecord): boolean {
  const { upstream } = client;
  const { source, destination } = server;
  if (upstream?.localPort === undefined || upstream.localPort !== source?.port) return false;
  if (differs(upstream.port, destination?.port) || differs(upstream.ip, destination?.ip)) return false;
  return !differs(upstream.localIp, source.ip) && timesFit(client, server);
}

function differs(a: string | number | undefined, b: string | number | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

/** Intervals of the two, widened by the slack, overlap. */
function timesFit(a: FlowRecord, b: FlowRecord): boolean {
  return startsBeforeEnd(a, b) && startsBeforeEnd(b, a);
}

function startsBeforeEnd(a: FlowRecord, b: FlowRecord): boolean {
  return micros(a) <= micros(b) + (b.durationMs ?? 0) * 1000 + SLACK_MICROS;
}

/** Two requests on one connection are one only when nothing tells them apart. */
function maySame(start: FlowRecord, other: FlowRecord): boolean {
  if (differs(start.traceId, other.traceId)) return false;
  if (start.traceId !== undefined && start.traceId === other.traceId) return true;
  return !differs(start.method, other.method) && !differs(start.path, other.path);
}

/** Adds records of the same trace that no address joined: outbound before inbound where nothing else tells. */
function placeTraced(
  records: readonly FlowRecord[],
  start: FlowRecord,
  members: Set<FlowRecord>,
  depth: Map<FlowRecord, number>,
): void {
  if (start.traceId === undefined) return;
  for (const other of records) {
    if (members.has(other) || other.traceId !== start.traceId) continue;
    members.add(other);
    depth.set(other, guessDepth(start, other));
  }
}

function guessDepth(start: FlowRecord, other: FlowRecord): number {
  if (start.reporter === other.reporter && start.direction === other.direction) return 0;
  if (start.direction !== other.direction) return start.direction === "outbound" ? 1 : -1;
  return micros(other) < micros(start) ? -1 : 1;
}

function compareHops(a: FlowRecord, b: FlowRecord, depth: ReadonlyMap<FlowRecord, number>): number {
  const hops = (depth.get(a) ?? 0) - (depth.get(b) ?? 0);
  return hops !== 0 ? hops : kindOrder(a) - kindOrder(b) || byTime(a, b);
}

function kindOrder(record: FlowRecord): number {
  return record.kind === "handshake" ? 0 : record.kind === "connection" ? 1 : 2;
}

function findRefusal(fromClient: readonly FlowRecord[]): FlowRecord | undefined {
  return (
    fromClient.findLast((record) => record.verdict === "deny") ??
    fromClient.findLast((record) => record.verdict === "error")
  );
}

function byTime(a: FlowRecord, b: FlowRecord): number {
  return micros(a) - micros(b);
}

function micros(record: FlowRecord): number {
  return rfc3339Micros(record.time) ?? 0;
}
