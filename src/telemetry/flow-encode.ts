import type { FlowDraft, FlowRecord } from "../model/flow-record.ts";
import { toMicrosecond } from "./duration.ts";
import { MAX_FLOW_LINE_LENGTH } from "./flow-decode.ts";

/** What a text of an over-long record is cut to: some 35 of them, each unit escaped to six, stay below the line's limit. */
const CUT_LENGTH = 256;
const CUT_EXPLANATION_LINES = 8;
/** Of `<reporter>@<random>:<n>` with the field's name. */
const MAX_ID_LENGTH = 512;

/**
 * The record's line (no line break), with the id put in front: the draft is serialised once, without a copy of its parts.
 * A line that would be longer than the log takes has its long texts cut and `truncated` set.
 */
export function encodeFlow(draft: FlowDraft, id: string): string {
  const line = withId(draft, id);
  return line.length <= MAX_FLOW_LINE_LENGTH ? line : withId(cutTexts(draft), id);
}

/** The same record, or, where its line would be longer than the log takes, one with its long texts cut and `truncated` set. */
export function cutToLine(draft: FlowDraft): FlowDraft {
  return JSON.stringify(draft).length <= MAX_FLOW_LINE_LENGTH - MAX_ID_LENGTH ? draft : cutTexts(draft);
}

/** The line of a record that has its id. */
export function encodeFlowRecord(record: FlowRecord): string {
  return JSON.stringify(record);
}

function withId(draft: FlowDraft, id: string): string {
  const { durationMs } = draft;
  const told = durationMs === undefined ? draft : { ...draft, durationMs: toMicrosecond(durationMs) };
  return `{"id":${JSON.stringify(id)},${JSON.stringify(told).slice(1)}`;
}

function cutTexts(draft: FlowDraft): FlowDraft {
  const cut = JSON.parse(
    JSON.stringify(draft, (key, value: unknown) => {
      if (typeof value === "string") return value.slice(0, CUT_LENGTH);
      return key === "explanation" && Array.isArray(value) ? value.slice(0, CUT_EXPLANATION_LINES) : value;
    }),
  ) as FlowDraft;
  return { ...cut, truncated: true };
}
