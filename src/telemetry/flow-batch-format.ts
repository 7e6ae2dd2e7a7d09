import type { FlowDraft } from "../model/flow-record.ts";

/**
 * Records on their way from a proxy to the log, in a form that costs the proxy little: what repeats within a batch (identities, names,
 * addresses, policies) is written once, as JSON, in a table; a record is mostly references to it. 100 bytes a record where a line has 900.
 *
 *     batch   = version:byte firstNumber:varint count:varint instance:text entries:varint entry:text… record…
 *     text    = length:varint bytes (UTF-8)
 *     entry   = JSON of a string, of a group (`source` …), or of an object whose members are set into the record
 *     record  = flags:byte time references numbers trace duration
 *
 * A varint is LEB128 of at most 53 bits. A reference is 0 for absent, 1 for null, else the entry's index + 2. The nth record's id is
 * `<instance>:<firstNumber + n>`. A batch needs nothing but itself: it can be sent again, and to another process.
 */
export const BATCH_VERSION = 1;

/** The time is an entry (`2026-01-01T00:00:00.`) and nanoseconds in four bytes, little-endian; else an entry with all of it. */
export const FLAG_SPLIT_TIME = 1;
/** The trace id is 16 bytes; else a reference. */
export const FLAG_TRACE_BYTES = 2;
/** A duration follows: an IEEE 754 double, little-endian. */
export const FLAG_DURATION = 4;

/** Fields that are references, in their order; texts but for the groups. */
export const REFERENCES = [
  "kind",
  "reporter",
  "verdict",
  "direction",
  "protocol",
  "source",
  "destination",
  "sni",
  "innerSni",
  "method",
  "path",
  "tls",
  "layer",
  "reason",
  "policy",
  "connectionId",
  "upstream",
] as const satisfies readonly (keyof FlowDraft)[];

/** Fields that are whole numbers, as value + 1; 0 = absent. */
export const NUMBERS = [
  "status",
  "bytesSent",
  "bytesReceived",
] as const satisfies readonly (keyof FlowDraft)[];

/** As a reference: 0 = absent, 1 = null, else value + 2. */
export const RULE = "rule";

/** What few records have: one entry, an object with those of them that are there. */
export const RARE = [
  "authorizer",
  "explanation",
  "shadow",
  "truncated",
] as const satisfies readonly (keyof FlowDraft)[];

type Written =
  | (typeof REFERENCES)[number]
  | (typeof NUMBERS)[number]
  | (typeof RARE)[number]
  | typeof RULE
  | "time"
  | "traceId"
  | "durationMs";

/** INVARIANT, held by the compiler: a field that is added to the record has its place in the format. */
export const EVERY_FIELD_IS_WRITTEN: [Exclude<keyof FlowDraft, Written>] extends [never] ? true : false =
  true;

/** `2026-01-01T00:00:00.`, of a time with nanoseconds in UTC. */
export const TIME_PREFIX_LENGTH = 20;
export const TIME_LENGTH = 30;
