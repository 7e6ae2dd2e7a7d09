import type { FlowDestination, FlowSource } from "../model/flow-record.ts";
import {
  BATCH_VERSION,
  FLAG_DURATION,
  FLAG_SPLIT_TIME,
  FLAG_TRACE_BYTES,
  NUMBERS,
  RARE,
  REFERENCES,
} from "./flow-batch-format.ts";
import { isFlowField, MAX_FLOW_LINE_LENGTH } from "./flow-decode.ts";
import type { FlowEntry } from "./flow-row.ts";
import { rfc3339Micros } from "./flow-time.ts";

/** All lines of one batch together: what a small hostile batch may grow to. */
const MAX_BATCH_LENGTH = 32 * 1024 * 1024;
const RARE_FIELDS: ReadonlySet<string> = new Set(RARE);
const TIME_PREFIX = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.$/;

/** A table entry. */
interface TableEntry {
  readonly value: unknown;
  /** Written by us: what a sender wrote could name a member twice, once unchecked. */
  readonly json: string;
  /** The fields that it was found fit for. */
  readonly fits: Set<string>;
  /** As a time's first part: microseconds of that second, NaN when it is none. Undefined = not looked at yet. */
  secondMicros: number | undefined;
}

/** One record on its way out of a batch: an entry of the log, its line not closed yet. */
type Reading = { -readonly [K in keyof FlowEntry]: FlowEntry[K] };

class MalformedBatch extends Error {}

/**
 * Reads a batch into what the log stores. Takes no word of its sender's: every field is checked as a line's would be.
 * @returns the records in their order, undefined in the place of one that the log does not take; undefined for what is no batch. Never throws.
 */
export function readFlowBatch(bytes: Buffer): readonly (FlowEntry | undefined)[] | undefined {
  try {
    return new FlowBatchReader(bytes).read();
  } catch (error) {
    if (error instanceof MalformedBatch || error instanceof RangeError || error instanceof SyntaxError)
      return undefined;
    throw error;
  }
}

class FlowBatchReader {
  readonly #bytes: Buffer;
  #at = 0;
  #instance = "";
  /** The instance as it stands within JSON's quotes. */
  #instanceJson = "";
  #entries: TableEntry[] = [];
  #length = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(): readonly (FlowEntry | undefined)[] {
    if (this.#byte() !== BATCH_VERSION) throw new MalformedBatch("version");
    const firstNumber = this.#varint();
    const count = this.#varint();
    this.#instance = this.#text();
    this.#instanceJson = JSON.stringify(this.#instance).slice(1, -1);
    this.#readTable();
    const records: (FlowEntry | undefined)[] = [];
    for (let n = 0; n < count; n++) records.push(this.#record(firstNumber + n));
    if (this.#at !== this.#bytes.length) throw new MalformedBatch("bytes after the last record");
    return records;
  }

  #readTable(): void {
    const count = this.#varint();
    for (let n = 0; n < count; n++) {
      const value: unknown = JSON.parse(this.#text());
      this.#entries.push({ value, json: JSON.stringify(value), fits: new Set(), secondMicros: undefined });
    }
  }

  #record(number: number): FlowEntry | undefined {
    const flags = this.#byte();
    const reading = newReading(`${this.#instance}:${number}`);
    reading.line = `{"id":"${this.#instanceJson}:${number}"`;
    let takes = this.#time(reading, flags);
    for (const field of REFERENCES) takes = this.#reference(reading, field) && takes;
    for (const field of NUMBERS) this.#number(reading, field);
    this.#rule(reading);
    takes = this.#rare(reading) && takes;
    takes = this.#trace(reading, flags) && takes;
    if ((flags & FLAG_DURATION) !== 0) this.#duration(reading);
    reading.line += "}";
    this.#length += reading.line.length;
    if (this.#length > MAX_BATCH_LENGTH) throw new MalformedBatch("too much");
    return takes && isWhole(reading) && reading.line.length <= MAX_FLOW_LINE_LENGTH ? reading : undefined;
  }

  /** @returns whether it is a time. */
  #time(reading: Reading, flags: number): boolean {
    if ((flags & FLAG_SPLIT_TIME) === 0) {
      const entry = this.#entry(this.#varint());
      const text = entry?.value;
      reading.timeMicros = (typeof text === "string" ? rfc3339Micros(text) : undefined) ?? Number.NaN;
      if (entry !== undefined) reading.line += `,"time":${entry.json}`;
      return !Number.isNaN(reading.timeMicros);
    }
    const entry = this.#entry(this.#varint());
    const nanos = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    if (entry === undefined || nanos > 999_999_999) return false;
    reading.timeMicros = secondMicros(entry) + Math.floor(nanos / 1000);
    if (Number.isNaN(reading.timeMicros)) return false;
    reading.line += `,"time":"${entry.value as string}${String(nanos).padStart(9, "0")}Z"`;
    return true;
  }

  /** @returns whether the field may hold it. */
  #reference(reading: Reading, field: string): boolean {
    const reference = this.#varint();
    if (reference === 0) return true;
    if (reference === 1) {
      reading.line += `,"${field}":null`;
      return isFlowField(field, null);
    }
    const entry = this.#entry(reference);
    if (entry === undefined) throw new MalformedBatch("reference");
    if (!entry.fits.has(field)) {
      if (!isFlowField(field, entry.value)) return false;
      entry.fits.add(field);
    }
    reading.line += `,"${field}":${entry.json}`;
    note(reading, field, entry.value);
    return true;
  }

  #number(reading: Reading, field: string): void {
    const value = this.#varint();
    if (value > 0) reading.line += `,"${field}":${value - 1}`;
  }

  #rule(reading: Reading): void {
    const value = this.#varint();
    if (value > 0) reading.line += `,"rule":${value === 1 ? "null" : value - 2}`;
  }

  #rare(reading: Reading): boolean {
    const entry = this.#entry(this.#varint());
    if (entry === undefined) return true;
    if (!entry.fits.has("rare")) {
      if (!areRareMembers(entry.value)) return false;
      entry.fits.add("rare");
    }
    reading.line += `,${entry.json.slice(1, -1)}`;
    return true;
  }

  #trace(reading: Reading, flags: number): boolean {
    if ((flags & FLAG_TRACE_BYTES) === 0) return this.#reference(reading, "traceId");
    const end = this.#at + 16;
    if (end > this.#bytes.length) throw new MalformedBatch("cut");
    const traceId = this.#bytes.toString("hex", this.#at, end);
    this.#at = end;
    reading.line += `,"traceId":"${traceId}"`;
    reading.traceId = traceId;
    return true;
  }

  #duration(reading: Reading): void {
    const value = this.#bytes.readDoubleLE(this.#at);
    this.#at += 8;
    if (!Number.isFinite(value)) throw new MalformedBatch("duration");
    reading.line += `,"durationMs":${value}`;
  }

  /** Undefined for "absent". */
  #entry(reference: number): TableEntry | undefined {
    if (reference === 0) return undefined;
    const entry = this.#entries[reference - 2];
    if (entry === undefined) throw new MalformedBatch("reference");
    return entry;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new MalformedBatch("cut");
    return byte;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new MalformedBatch("number");
      if (byte < 0x80) return value;
      scale *= 0x80;
      if (scale > Number.MAX_SAFE_INTEGER) throw new MalformedBatch("number");
    }
  }

  #text(): string {
    const length = this.#varint();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new MalformedBatch("cut");
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }
}

/** Fields that no reference tells, and no others: else one would be there twice. */
function areRareMembers(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const members = Object.entries(value);
  return (
    members.length > 0 &&
    members.every(([field, member]) => RARE_FIELDS.has(field) && isFlowField(field, member))
  );
}

function secondMicros(entry: TableEntry): number {
  entry.secondMicros ??=
    typeof entry.value === "string" && TIME_PREFIX.test(entry.value)
      ? Date.parse(`${entry.value.slice(0, -1)}Z`) * 1000
      : Number.NaN;
  return entry.secondMicros;
}

function newReading(id: string): Reading {
  return {
    id,
    line: "",
    timeMicros: Number.NaN,
    kind: "",
    verdict: "",
    reporter: "",
    source: undefined,
    destination: undefined,
    traceId: undefined,
    sourcePort: undefined,
  };
}

/** Keeps what the log has columns for. @param value was found fit for the field. */
function note(reading: Reading, field: string, value: unknown): void {
  switch (field) {
    case "kind":
      reading.kind = value as string;
      break;
    case "verdict":
      reading.verdict = value as string;
      break;
    case "reporter":
      reading.reporter = value as string;
      break;
    case "source":
      reading.source = (value as FlowSource).workload;
      reading.sourcePort = (value as FlowSource).port;
      break;
    case "destination":
      reading.destination = (value as FlowDestination).workload;
      break;
    case "traceId":
      reading.traceId = value as string;
      break;
  }
}

/** Whether all that no record is without is there (the time was looked at before). */
function isWhole({ kind, verdict, reporter }: Reading): boolean {
  return kind !== "" && verdict !== "" && reporter !== "";
}
