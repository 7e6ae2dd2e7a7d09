import type { DatabaseSync } from "node:sqlite";
import type { FlowRecord } from "../model/flow-record.ts";
import type { FlowFilter } from "./flow-filter.ts";
import { flowWhere, joined, type Where } from "./flow-where.ts";

export interface StoredFlow {
  /** Rises in the order of storing. */
  readonly seq: number;
  readonly record: FlowRecord;
  /** The record's JSON as stored. */
  readonly json: string;
}

export interface FlowPage {
  readonly flows: readonly StoredFlow[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: string;
}

export interface FlowPageRequest {
  /** Default 100. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: string;
  readonly order?: "newest" | "oldest";
}

export interface FollowedFlows {
  readonly flows: readonly StoredFlow[];
  /** Where to go on. */
  readonly cursor: number;
}

/** Columns to count by. */
export const FLOW_GROUPS = [
  "kind",
  "verdict",
  "reporter",
  "source",
  "destination",
  "service",
  "host",
  "sni",
  "direction",
  "protocol",
  "method",
  "status",
  "layer",
  "reason",
  "policy",
  "principal",
] as const;
export type FlowGroup = (typeof FLOW_GROUPS)[number];

export interface FlowCount {
  readonly group: Readonly<Partial<Record<FlowGroup, string | number | null>>>;
  readonly count: number;
}

type Row = Readonly<Record<string, unknown>>;

/** See `FlowStore.query`. @throws {TypeError} when `after` is no cursor of a page. */
export function queryFlows(db: DatabaseSync, filter: FlowFilter, page: FlowPageRequest): FlowPage {
  const limit = page.limit ?? 100;
  const descending = page.order !== "oldest";
  const where = joined([flowWhere(filter), ...afterCursor(page.after, descending)], "AND", "true");
  const way = descending ? "DESC" : "ASC";
  const sql = `SELECT seq, time_us, body FROM flow_log WHERE ${where.sql} ORDER BY time_us ${way}, seq ${way} LIMIT ?`;
  const rows: Row[] = db.prepare(sql).all(...where.parameters, limit);
  const flows = rows.map(storedFlow);
  const last = rows.at(-1);
  return rows.length < limit || last === undefined
    ? { flows }
    : { flows, next: `${last.time_us}.${last.seq}` };
}

/** The greatest `seq` stored; 0 for none. */
export function lastSeq(db: DatabaseSync): number {
  return Number(db.prepare("SELECT coalesce(max(seq), 0) AS n FROM flows").get()?.n);
}

/** See `FlowStore.follow`. */
export function flowsAfter(
  db: DatabaseSync,
  cursor: number,
  filter: FlowFilter,
  limit: number,
): FollowedFlows {
  // Read first: a row that is stored between the two statements is left for the next call.
  const end = lastSeq(db);
  // A cursor beyond the end is one of a log that was moved aside: the new one is followed from its start.
  const start = cursor > end ? 0 : cursor;
  const where = joined(
    [{ sql: "seq > ? AND seq <= ?", parameters: [start, end] }, flowWhere(filter)],
    "AND",
    "true",
  );
  const rows: Row[] = db
    .prepare(`SELECT seq, body FROM flow_log WHERE ${where.sql} ORDER BY seq LIMIT ?`)
    .all(...where.parameters, limit);
  const flows = rows.map(storedFlow);
  const last = flows.at(-1);
  return { flows, cursor: flows.length === limit && last !== undefined ? last.seq : end };
}

/** See `FlowStore.count`. @throws {TypeError} for a group that is none. */
export function countFlows(
  db: DatabaseSync,
  filter: FlowFilter,
  groups: readonly FlowGroup[],
): readonly FlowCount[] {
  const unknown = groups.find((group) => !FLOW_GROUPS.includes(group));
  if (unknown !== undefined) throw new TypeError(`flows cannot be counted by \`${unknown}\``);
  const where = flowWhere(filter);
  const columns = groups.map((group) => `${group}, `).join("");
  const grouping =
    groups.length === 0 ? "" : `GROUP BY ${groups.join(", ")} ORDER BY n DESC, ${groups.join(", ")}`;
  const sql = `SELECT ${columns}count(*) AS n FROM flow_log WHERE ${where.sql} ${grouping}`;
  const rows: Row[] = db.prepare(sql).all(...where.parameters);
  return rows.map((row) => ({
    group: Object.fromEntries(groups.map((group) => [group, row[group] as string | number | null])),
    count: Number(row.n),
  }));
}

function storedFlow(row: Row): StoredFlow {
  const json = String(row.body);
  return { seq: Number(row.seq), record: JSON.parse(json) as FlowRecord, json };
}

function afterCursor(cursor: string | undefined, descending: boolean): Where[] {
  if (cursor === undefined) return [];
  const match = /^(\d{1,16})\.(\d{1,16})$/.exec(cursor);
  if (match === null) throw new TypeError(`\`${cursor}\` is not a cursor that a query gave`);
  const sql = `(time_us, seq) ${descending ? "<" : ">"} (?, ?)`;
  return [{ sql, parameters: [Number(match[1]), Number(match[2])] }];
}
