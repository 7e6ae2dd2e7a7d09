import type { FlowRecord } from "../model/flow-record.ts";
import { FLOW_TEXT_FIELDS, type FlowTextField, patternsFor } from "./flow-fields.ts";
import type { FlowFilter } from "./flow-filter.ts";
import { rfc3339Micros } from "./flow-time.ts";

/** Whether a record in memory passes the filter: the same answer as the store's query gives for it. */
export function matchesFlow(filter: FlowFilter, record: FlowRecord): boolean {
  const micros = rfc3339Micros(record.time) ?? 0;
  if (filter.sinceMicros !== undefined && micros < filter.sinceMicros) return false;
  if (filter.untilMicros !== undefined && micros >= filter.untilMicros) return false;
  if (filter.status !== undefined && !filter.status.some((status) => status === record.status)) return false;
  return matchesPeer(filter, record) && matchesTexts(filter, record);
}

function matchesPeer({ peer }: FlowFilter, { source }: FlowRecord): boolean {
  if (peer === undefined) return true;
  return source?.ip === peer.ip && (peer.port === undefined || source.port === peer.port);
}

function matchesTexts(filter: FlowFilter, record: FlowRecord): boolean {
  return FLOW_TEXT_FIELDS.every((field) => {
    const given = filter[field.name];
    return given === undefined || matchesText(field, given, record);
  });
}

function matchesText(field: FlowTextField, given: readonly string[], record: FlowRecord): boolean {
  const values = field.read(record);
  return field.columns.some((column, i) => {
    const value = values[i];
    if (typeof value !== "string") return false;
    return patternsFor(field, column, given).some((pattern) => matchesPattern(pattern, value));
  });
}

/** `*` is any run of characters. Takes the leftmost place for each part, which is enough: no backtracking. */
export function matchesPattern(pattern: string, text: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - last.length;
}
