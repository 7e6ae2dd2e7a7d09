import { randomBytes } from "node:crypto";
import { type FieldLines, fieldLines, NO_FIELD_LINES } from "./codec/head-writer.ts";

const BATCH = 256;
let pool: Buffer = Buffer.alloc(0);
let offset = 0;

/** A request's id, and the lines that tell it to the next hop. */
export interface RequestId {
  /** 32 hexadecimal digits; undefined when the request names itself by something else. */
  readonly traceId: string | undefined;
  /** Empty when the request brought an id. */
  readonly lines: FieldLines;
}

/**
 * The trace id of a request: of its `traceparent` (W3C Trace Context), else of its `x-request-id` where that is a UUID, else
 * a new one, sent on as x-request-id. Random bytes are drawn for 256 requests at a time: one draw costs 1 µs.
 */
export function requestId(traceparent: string | undefined, requestIdHeader: string | undefined): RequestId {
  if (traceparent !== undefined && traceparent.length >= 35)
    return { traceId: traceparent.slice(3, 35), lines: NO_FIELD_LINES };
  if (requestIdHeader !== undefined) return { traceId: uuidDigits(requestIdHeader), lines: NO_FIELD_LINES };
  const traceId = nextId();
  const uuid = `${traceId.slice(0, 8)}-${traceId.slice(8, 12)}-${traceId.slice(12, 16)}-${traceId.slice(16, 20)}-${traceId.slice(20)}`;
  return { traceId, lines: fieldLines("x-request-id", uuid) ?? NO_FIELD_LINES };
}

function nextId(): string {
  if (offset + 16 > pool.length) {
    pool = randomBytes(16 * BATCH);
    offset = 0;
  }
  // Version and variant bits of a random UUID (RFC 9562 §5.4).
  pool[offset + 6] = ((pool[offset + 6] as number) & 0x0f) | 0x40;
  pool[offset + 8] = ((pool[offset + 8] as number) & 0x3f) | 0x80;
  const id = pool.toString("hex", offset, offset + 16);
  offset += 16;
  return id;
}

function uuidDigits(text: string): string | undefined {
  const digits = text.replaceAll("-", "");
  return digits.length === 32 ? digits : undefined;
}
