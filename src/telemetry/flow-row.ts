import type { SQLInputValue } from "node:sqlite";
import type { FlowRecord } from "../model/flow-record.ts";
import { rfc3339Micros } from "./flow-time.ts";

/**
 * The columns that are written with each record; every other field is read out of `body` by a view.
 * Random keys (trace id, source port) are indexed within a bucket of rows that were stored together: their B-tree pages stay in
 * reach, where an index over all rows touched a page a record and halved the throughput (26,000 → 50,000 records/s).
 */
export const FLOW_COLUMNS: readonly string[] = [
  "id",
  "bucket",
  "time_us",
  "kind",
  "verdict",
  "reporter",
  "source",
  "destination",
  "trace_key",
  "source_port",
  "body",
];

/** Rows that share a bucket. */
export const BUCKET_ROWS = 8192;

/** What the log stores of a record. */
export interface FlowEntry {
  readonly id: string;
  /** The record's JSON, stored as it is. */
  readonly line: string;
  readonly timeMicros: number;
  readonly kind: string;
  readonly verdict: string;
  readonly reporter: string;
  /** Workloads, `namespace/name`. */
  readonly source: string | undefined;
  readonly destination: string | undefined;
  readonly traceId: string | undefined;
  readonly sourcePort: number | undefined;
}

export function flowEntry(record: FlowRecord, line: string): FlowEntry {
  return {
    id: record.id,
    line,
    timeMicros: rfc3339Micros(record.time) ?? 0,
    kind: record.kind,
    verdict: record.verdict,
    reporter: record.reporter,
    source: record.source?.workload,
    destination: record.destination?.workload,
    traceId: record.traceId,
    sourcePort: record.source?.port,
  };
}

/** The values of {@link FLOW_COLUMNS}. */
export function flowRow(entry: FlowEntry, bucket: number): SQLInputValue[] {
  return [
    entry.id,
    bucket,
    entry.timeMicros,
    entry.kind,
    entry.verdict,
    entry.reporter,
    entry.source ?? null,
    entry.destination ?? null,
    entry.traceId === undefined ? null : traceKey(entry.traceId),
    entry.sourcePort ?? null,
    entry.line,
  ];
}

/** 31 bits of FNV-1a: short index entries. The full trace id is compared as well, so a collision costs time only. */
export function traceKey(traceId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < traceId.length; i++) hash = Math.imul(hash ^ traceId.charCodeAt(i), 0x01000193);
  return hash & 0x7fffffff;
}
