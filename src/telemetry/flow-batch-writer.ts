import type { FlowDraft } from "../model/flow-record.ts";
import { toMicrosecond } from "./duration.ts";
import {
  BATCH_VERSION,
  FLAG_DURATION,
  FLAG_SPLIT_TIME,
  FLAG_TRACE_BYTES,
  RARE,
  TIME_LENGTH,
  TIME_PREFIX_LENGTH,
} from "./flow-batch-format.ts";
import { cutToLine } from "./flow-encode.ts";

/** More than any record takes beside its entries: 20 references and numbers of at most 8 bytes, time, trace, duration. */
const MOST_RECORD_BYTES = 256;
const MOST_VARINT_BYTES = 8;
/** A longer text may make the record's line longer than the log takes. */
const LONG_TEXT = 512;
/** Two are taken for "absent" and "null". */
const MOST_WHOLE = Number.MAX_SAFE_INTEGER - 2;
/** Text fields that are looked at by place, see #again. */
const SLOTS = 13;
const ZERO = 0x30;

/** Collects records; one object serves batch after batch. See flow-batch-format.ts. */
export class FlowBatchWriter {
  readonly #instance: string;
  #records: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #at = 0;
  #count = 0;
  #firstNumber = 0;
  #entries: string[] = [];
  #entriesLength = 0;
  readonly #texts = new Map<string, number>();
  readonly #groups = new Map<object, number>();
  readonly #lastTexts: (string | null | undefined)[] = Array.from({ length: SLOTS });
  readonly #lastReferences: number[] = Array.from({ length: SLOTS }, () => 0);
  #timePrefix = "";
  #timeReference = 0;
  #sawLongText = false;

  /** @param instance the front of every id. */
  constructor(instance: string) {
    this.#instance = instance;
  }

  get count(): number {
    return this.#count;
  }

  /** About what {@link finish} will give, in bytes. */
  get length(): number {
    return this.#at + this.#entriesLength;
  }

  /**
   * Writes a record. Objects within it (source, destination …) are written once as long as they are the same objects: they must
   * not be changed afterwards.
   * @param number of the record; each call's is the one before and one.
   * @throws TypeError for what JSON cannot hold; nothing was written.
   */
  add(draft: FlowDraft, number: number): void {
    const start = this.#at;
    this.#sawLongText = false;
    try {
      this.#record(draft);
      if (this.#sawLongText) {
        this.#at = start;
        this.#record(cutToLine(draft));
      }
    } catch (error) {
      this.#at = start;
      throw error;
    }
    if (this.#count === 0) this.#firstNumber = number;
    this.#count += 1;
  }

  /** The batch; the writer is empty again. */
  finish(): Buffer {
    const head = Buffer.from(this.#instance, "utf8");
    const entries = this.#entries.map((entry) => Buffer.from(entry, "utf8"));
    const entryBytes = entries.reduce((sum, entry) => sum + entry.length + MOST_VARINT_BYTES, 0);
    const bytes = Buffer.allocUnsafeSlow(1 + 4 * MOST_VARINT_BYTES + head.length + entryBytes + this.#at);
    let at = 0;
    const varint = (value: number) => {
      at = writeVarint(bytes, at, value);
    };
    const text = (part: Buffer) => {
      varint(part.length);
      at += part.copy(bytes, at);
    };
    bytes[at++] = BATCH_VERSION;
    varint(this.#firstNumber);
    varint(this.#count);
    text(head);
    varint(entries.length);
    for (const entry of entries) text(entry);
    at += this.#records.copy(bytes, at, 0, this.#at);
    this.#clear();
    return bytes.subarray(0, at);
  }

  #clear(): void {
    this.#at = 0;
    this.#count = 0;
    this.#entries = [];
    this.#entriesLength = 0;
    this.#texts.clear();
    this.#groups.clear();
    this.#lastTexts.fill(undefined);
    this.#lastReferences.fill(0);
    this.#timePrefix = "";
  }

  #record(draft: FlowDraft): void {
    this.#reserve();
    const flagsAt = this.#at++;
    let flags = this.#time(draft.time);
    this.#again(0, draft.kind);
    this.#again(1, draft.reporter);
    this.#again(2, draft.verdict);
    this.#again(3, draft.direction);
    this.#again(4, draft.protocol);
    this.#group(draft.source);
    this.#group(draft.destination);
    this.#again(5, draft.sni);
    this.#again(6, draft.innerSni);
    this.#again(7, draft.method);
    this.#again(8, draft.path);
    this.#group(draft.tls);
    this.#again(9, draft.layer);
    this.#again(10, draft.reason);
    this.#again(11, draft.policy);
    this.#again(12, draft.connectionId);
    this.#group(draft.upstream);
    this.#number(draft.status);
    this.#number(draft.bytesSent);
    this.#number(draft.bytesReceived);
    this.#rule(draft.rule);
    this.#rare(draft);
    flags |= this.#trace(draft.traceId);
    if (draft.durationMs !== undefined && Number.isFinite(draft.durationMs)) {
      flags |= FLAG_DURATION;
      this.#at = this.#records.writeDoubleLE(toMicrosecond(draft.durationMs), this.#at);
    }
    this.#records[flagsAt] = flags;
  }

  #reserve(): void {
    if (this.#at + MOST_RECORD_BYTES <= this.#records.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * this.#records.length);
    this.#records.copy(larger, 0, 0, this.#at);
    this.#records = larger;
  }

  #time(time: string): number {
    const nanos = time.length === TIME_LENGTH && time.endsWith("Z") ? nanosOf(time) : -1;
    if (nanos < 0) {
      this.#text(time);
      return 0;
    }
    if (this.#timePrefix === "" || !time.startsWith(this.#timePrefix)) {
      this.#timePrefix = time.slice(0, TIME_PREFIX_LENGTH);
      this.#timeReference = this.#reference(this.#timePrefix);
    }
    this.#varint(this.#timeReference);
    this.#at = this.#records.writeUInt32LE(nanos, this.#at);
    return FLAG_SPLIT_TIME;
  }

  /** Most texts of a record are those of the one before. */
  #again(slot: number, text: string | null | undefined): void {
    if (text === this.#lastTexts[slot]) {
      this.#varint(this.#lastReferences[slot] as number);
      return;
    }
    const reference = this.#optional(text);
    this.#varint(reference);
    // A long one must be noticed each time.
    if (this.#sawLongText) return;
    this.#lastTexts[slot] = text;
    this.#lastReferences[slot] = reference;
  }

  #text(text: string | null | undefined): void {
    this.#varint(this.#optional(text));
  }

  #optional(text: string | null | undefined): number {
    if (text === undefined) return 0;
    return text === null ? 1 : this.#reference(text);
  }

  #reference(text: string): number {
    if (text.length > LONG_TEXT) this.#sawLongText = true;
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const reference = this.#enter(JSON.stringify(text));
    this.#texts.set(text, reference);
    return reference;
  }

  #group(group: object | undefined): void {
    if (group === undefined) {
      this.#records[this.#at++] = 0;
      return;
    }
    const known = this.#groups.get(group);
    if (known !== undefined) {
      this.#varint(known);
      return;
    }
    const reference = this.#enterObject(group);
    // One with long texts is looked at again each time.
    if (!this.#sawLongText) this.#groups.set(group, reference);
    this.#varint(reference);
  }

  #enterObject(group: object): number {
    const json = JSON.stringify(group);
    if (json.length > LONG_TEXT) this.#sawLongText = true;
    return this.#enter(json);
  }

  #enter(json: string): number {
    this.#entriesLength += json.length;
    return this.#entries.push(json) + 1;
  }

  #number(value: number | undefined): void {
    this.#varint(value === undefined ? 0 : whole(value) + 1);
  }

  #rule(rule: number | null | undefined): void {
    if (rule === null) this.#varint(1);
    else this.#varint(rule === undefined ? 0 : whole(rule) + 2);
  }

  #rare(draft: FlowDraft): void {
    let members: Record<string, unknown> | undefined;
    for (const field of RARE) {
      const value = draft[field];
      if (value === undefined) continue;
      members ??= {};
      members[field] = value;
    }
    this.#varint(members === undefined ? 0 : this.#enterObject(members));
  }

  #trace(traceId: string | undefined): number {
    const end = traceId?.length === 32 ? writeHex(this.#records, this.#at, traceId) : -1;
    if (end < 0) {
      this.#text(traceId);
      return 0;
    }
    this.#at = end;
    return FLAG_TRACE_BYTES;
  }

  #varint(value: number): void {
    if (value < 0x80) this.#records[this.#at++] = value;
    else this.#at = writeVarint(this.#records, this.#at, value);
  }
}

function whole(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= MOST_WHOLE) return value;
  throw new TypeError(`${String(value)} is no count`);
}

/** The nine digits before the `Z`; -1 when they are not. */
function nanosOf(time: string): number {
  let nanos = 0;
  for (let at = TIME_PREFIX_LENGTH; at < TIME_LENGTH - 1; at++) {
    const digit = time.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    nanos = nanos * 10 + digit;
  }
  return nanos;
}

/** @returns where it ended. */
function writeVarint(into: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest >= 0x80) {
    into[next++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  into[next++] = rest;
  return next;
}

/** @returns where it ended; -1 when the text is not lower-case hexadecimal. */
function writeHex(into: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i += 2) {
    const high = nibble(text.charCodeAt(i));
    const low = nibble(text.charCodeAt(i + 1));
    if (high < 0 || low < 0) return -1;
    into[at + (i >> 1)] = (high << 4) | low;
  }
  return at + (text.length >> 1);
}

function nibble(code: number): number {
  if (code >= ZERO && code <= 0x39) return code - ZERO;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}
