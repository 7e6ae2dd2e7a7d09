import type { SQLInputValue } from "node:sqlite";
import { FLOW_TEXT_FIELDS, type FlowTextField, patternsFor } from "./flow-fields.ts";
import type { FlowFilter } from "./flow-filter.ts";
import { traceKey } from "./flow-row.ts";

/** A condition with its parameters; INVARIANT: `sql` holds constants of this program alone, what the user gave is bound. */
export interface Where {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

/** Rows of one key in every bucket: one look-up in each (about 120 for a million rows). */
const inBuckets = (index: string, column: string): string => `seq IN (
  WITH RECURSIVE buckets(n) AS (
    SELECT min(bucket) FROM flows UNION ALL SELECT n + 1 FROM buckets WHERE n < (SELECT max(bucket) FROM flows))
  SELECT f.seq FROM buckets CROSS JOIN flows AS f INDEXED BY ${index} WHERE f.bucket = buckets.n AND f.${column} = ?)`;

/** The filter as SQL; `true` when it asks for nothing. */
export function flowWhere(filter: FlowFilter): Where {
  const parts: Where[] = [];
  const { sinceMicros, untilMicros, status, peer } = filter;
  if (sinceMicros !== undefined) parts.push({ sql: "time_us >= ?", parameters: [sinceMicros] });
  if (untilMicros !== undefined) parts.push({ sql: "time_us < ?", parameters: [untilMicros] });
  for (const field of FLOW_TEXT_FIELDS) {
    const patterns = filter[field.name];
    if (patterns !== undefined) parts.push(textWhere(field, patterns), ...indexHints(field, patterns));
  }
  if (status !== undefined)
    parts.push({ sql: `status IN (${status.map(() => "?").join(",")})`, parameters: status });
  if (peer?.port !== undefined) {
    parts.push({ sql: inBuckets("flows_by_source_port", "source_port"), parameters: [peer.port] });
  }
  if (peer !== undefined) parts.push({ sql: "source_ip = ?", parameters: [peer.ip] });
  return joined(parts, "AND", "true");
}

/** `a OP b OP c`, in parentheses; `empty` when there are none. */
export function joined(parts: readonly Where[], operator: "AND" | "OR", empty: string): Where {
  if (parts.length === 0) return { sql: empty, parameters: [] };
  return {
    sql: `(${parts.map((part) => part.sql).join(` ${operator} `)})`,
    parameters: parts.flatMap((part) => part.parameters),
  };
}

function textWhere(field: FlowTextField, patterns: readonly string[]): Where {
  const parts = field.columns.flatMap((column) =>
    patternsFor(field, column, patterns).map((pattern) => patternWhere(column, pattern)),
  );
  return joined(parts, "OR", "false");
}

function patternWhere(column: string, pattern: string): Where {
  if (!pattern.includes("*")) return { sql: `${column} = ?`, parameters: [pattern] };
  return { sql: `${column} GLOB ?`, parameters: [pattern.replaceAll(/[?[]/g, "[$&]")] };
}

/** Implied conditions in the words of the partial and the bucketed indexes, without which SQLite cannot use them. */
function indexHints(field: FlowTextField, patterns: readonly string[]): Where[] {
  if (field.name === "verdict" && !patterns.includes("allow"))
    return [{ sql: "verdict <> 'allow'", parameters: [] }];
  if (field.name === "kind" && !patterns.includes("request"))
    return [{ sql: "kind <> 'request'", parameters: [] }];
  const [trace, ...more] = patterns;
  if (field.name !== "trace" || trace === undefined || more.length > 0 || trace.includes("*")) return [];
  return [{ sql: inBuckets("flows_by_trace", "trace_key"), parameters: [traceKey(trace)] }];
}
