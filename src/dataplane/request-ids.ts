import { randomBytes } from "node:crypto";
import { type FieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";

const BATCH = 256;
const BYTES = 16;
const DIGITS = 2 * BYTES;
/** Ids to come, in hexadecimal, one after the other. */
let ids = "";
let next = 0;

/** A request's id, and the lines that tell it to the next hop. */
export interface RequestId {
  /** 32 hexadecimal digits; undefined when the request names itself by something else. */
  readonly traceId: string | undefined;
  /** Empty when the request brought an id. */
  readonly lines: FieldLines;
}

/**
 * The trace id of a request: of its `traceparent` (W3C Trace Context), else of its `x-request-id` where that is a UUID, else
 * a new one, sent on as x-request-id. Random bytes are drawn, and written as digits, for 256 requests at a time: either call costs 0.2–1 µs.
 */
export function requestId(traceparent: string | undefined, requestIdHeader: string | undefined): RequestId {
  if (traceparent !== undefined && traceparent.length >= 35)
    return { traceId: traceparent.slice(3, 35), lines: NO_FIELD_LINES };
  if (requestIdHeader !== undefined) return { traceId: uuidDigits(requestIdHeader), lines: NO_FIELD_LINES };
  const traceId = nextId();
  const uuid = `${traceId.slice(0, 8)}-${traceId.slice(8, 12)}-${traceId.slice(12, 16)}-${traceId.slice(16, 20)}-${traceId.slice(20)}`;
  // INVARIANT: hexadecimal digits and dashes: no look at each is needed for a sound line.
  return { traceId, lines: `x-request-id: ${uuid}\r\n` as FieldLines };
}

function nextId(): string {
  if (next >= ids.length) {
    ids = drawIds();
    next = 0;
  }
  const id = ids.slice(next, next + DIGITS);
  next += DIGITS;
  return id;
}

function drawIds(): string {
  const bytes = randomBytes(BYTES * BATCH);
  for (let at = 0; at < bytes.length; at += BYTES) {
    // Version and variant bits of a random UUID (RFC 9562 §5.4).
    bytes[at + 6] = ((bytes[at + 6] as number) & 0x0f) | 0x40;
    bytes[at + 8] = ((bytes[at + 8] as number) & 0x3f) | 0x80;
  }
  return bytes.toString("hex");
}

function uuidDigits(text: string): string | undefined {
  const digits = text.replaceAll("-", "");
  return digits.length === 32 ? digits : undefined;
}
