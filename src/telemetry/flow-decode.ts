import type { FlowRecord } from "../model/flow-record.ts";
import { FLOW_DIRECTIONS, FLOW_KINDS, FLOW_VERDICTS } from "../model/flow-record.ts";
import { rfc3339Micros } from "./flow-time.ts";

/** Longest line that the log takes, in UTF-16 units. A reporter cuts long texts before; a longer line is hostile or broken. */
export const MAX_FLOW_LINE_LENGTH = 65_536;

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const number: Check = (value) => typeof value === "number";
const boolean: Check = (value) => typeof value === "boolean";
const textOrNull: Check = (value) => value === null || text(value);
const numberOrNull: Check = (value) => value === null || number(value);
const texts: Check = (value) => Array.isArray(value) && value.every(text);
const oneOf =
  (words: readonly string[]): Check =>
  (value) =>
    typeof value === "string" && words.includes(value);

/** INVARIANT: an unknown field is a scalar, so that no line nests deeper than SQLite's JSON functions can read (1,000). */
const scalar: Check = (value) => value === null || typeof value !== "object";

function fields(checks: Readonly<Record<string, Check>>): Check {
  const table = new Map(Object.entries(checks));
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    // for-in makes no arrays of entries: 1 µs a record less. What JSON.parse gives has nothing to inherit.
    for (const key in value) {
      if (!(table.get(key) ?? scalar)((value as Record<string, unknown>)[key])) return false;
    }
    return true;
  };
}

const FLOW_FIELDS: Readonly<Record<string, Check>> = {
  id: text,
  time: text,
  kind: oneOf(FLOW_KINDS),
  source: fields({ workload: text, principal: textOrNull, ip: text, port: number }),
  destination: fields({ workload: text, service: text, host: text, ip: text, port: number }),
  reporter: text,
  direction: oneOf(FLOW_DIRECTIONS),
  protocol: text,
  sni: text,
  innerSni: text,
  method: text,
  path: text,
  status: number,
  tls: fields({ version: text, cipher: text, group: text, peerSerial: text, resumed: boolean }),
  verdict: oneOf(FLOW_VERDICTS),
  layer: text,
  reason: text,
  policy: textOrNull,
  rule: numberOrNull,
  explanation: texts,
  bytesSent: number,
  bytesReceived: number,
  durationMs: number,
  traceId: text,
  connectionId: text,
  upstream: fields({ ip: text, port: number, localIp: text, localPort: number, cluster: text }),
  authorizer: fields({
    provider: text,
    answer: text,
    status: number,
    durationMs: number,
    failedOpen: boolean,
  }),
  shadow: text,
  truncated: boolean,
};
const isFlow = fields(FLOW_FIELDS);

/** Whether a field of a record may hold this value, parsed from JSON. */
export function isFlowField(field: string, value: unknown): boolean {
  return (FLOW_FIELDS[field] ?? scalar)(value);
}

const REQUIRED: readonly (keyof FlowRecord)[] = ["id", "time", "kind", "reporter", "verdict"];

/** Whether the value, parsed from JSON, is a record that the log can take: required fields there, every field of its type. */
export function isFlowRecord(value: unknown): value is FlowRecord {
  if (!isFlow(value)) return false;
  const record = value as Partial<FlowRecord>;
  if (REQUIRED.some((field) => record[field] === undefined)) return false;
  return rfc3339Micros(record.time ?? "") !== undefined;
}

/** Reads one line of the log; undefined for anything that is not a flow record. Never throws. */
export function decodeFlow(line: string): FlowRecord | undefined {
  if (line.length > MAX_FLOW_LINE_LENGTH) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return isFlowRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
