/**
 * DNS messages as far as a server of addresses needs them: one question, answers of type A and AAAA.
 * @see RFC 1035 §4, RFC 3596
 */
import { isIPv4 } from "node:net";

export const DNS_TYPE = { a: 1, aaaa: 28 } as const;
export const DNS_CODE = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export interface DnsQuestion {
  readonly id: number;
  /** Of the query, to be given back. */
  readonly flags: number;
  /** In lower case, without the dot at the end. */
  readonly name: string;
  readonly type: number;
  /** The question as it was sent: some clients check its letters (RFC 5452's 0x20). */
  readonly bytes: Buffer;
}

export type DnsQuery =
  | { readonly kind: "question"; readonly question: DnsQuestion }
  /** No query, or none that can be answered in any way. */
  | { readonly kind: "ignore" }
  | { readonly kind: "refuse"; readonly id: number; readonly flags: number; readonly code: number };

const HEADER_BYTES = 12;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const OPCODE_MASK = 0x7800;
const CLASS_IN = 1;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;

/** Reads a query. Nothing in it is believed: it comes from any process of the pod. */
export function readDnsQuery(message: Buffer): DnsQuery {
  if (message.length < HEADER_BYTES) return { kind: "ignore" };
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return { kind: "ignore" };
  if ((flags & OPCODE_MASK) !== 0) return { kind: "refuse", id, flags, code: DNS_CODE.notImplemented };
  if (message.readUInt16BE(4) !== 1) return { kind: "refuse", id, flags, code: DNS_CODE.formatError };
  const read = readName(message);
  if (read === undefined || message.length < read.end + 4)
    return { kind: "refuse", id, flags, code: DNS_CODE.formatError };
  const type = message.readUInt16BE(read.end);
  if (message.readUInt16BE(read.end + 2) !== CLASS_IN)
    return { kind: "refuse", id, flags, code: DNS_CODE.refused };
  const bytes = Buffer.from(message.subarray(HEADER_BYTES, read.end + 4));
  return { kind: "question", question: { id, flags, name: read.name, type, bytes } };
}

/** Uncompressed: there is nothing before the first name that it could point to. */
function readName(message: Buffer): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > MAX_LABEL_BYTES) return undefined;
    at += 1;
    if (length === 0) return { name: labels.join(".").toLowerCase(), end: at };
    if (at + length > message.length || at + length - HEADER_BYTES > MAX_NAME_BYTES) return undefined;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
}

/**
 * An answer.
 * @param addresses of the family that was asked for; none with code `ok`: the name has none of them.
 * @param maxBytes what the transport carries; a longer answer is cut after the last address that fits, and says so.
 */
export function writeDnsAnswer(
  question: DnsQuestion,
  code: number,
  addresses: readonly string[],
  ttlSeconds: number,
  maxBytes: number,
): Buffer {
  const records = addresses.map((address) => record(address, ttlSeconds));
  const room = maxBytes - HEADER_BYTES - question.bytes.length;
  let length = 0;
  let fitting = 0;
  for (const { length: bytes } of records) {
    if (length + bytes > room) break;
    length += bytes;
    fitting += 1;
  }
  const truncated = fitting < records.length ? FLAG_TRUNCATED : 0;
  const head = header(question.id, question.flags, code | truncated | FLAG_AUTHORITATIVE, 1, fitting);
  return Buffer.concat([head, question.bytes, ...records.slice(0, fitting)]);
}

/** To a query that has no question that could be given back. */
export function writeDnsRefusal({ id, flags, code }: DnsQuery & { kind: "refuse" }): Buffer {
  return header(id, flags, code, 0, 0);
}

function header(id: number, asked: number, flags: number, questions: number, answers: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(id, 0);
  const kept = asked & (OPCODE_MASK | FLAG_RECURSION_DESIRED);
  head.writeUInt16BE(kept | flags | FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE, 2);
  head.writeUInt16BE(questions, 4);
  head.writeUInt16BE(answers, 6);
  return head;
}

/** Its name is the question's, which stands right after the header. */
function record(address: string, ttlSeconds: number): Buffer {
  const data = isIPv4(address) ? Buffer.from(address.split(".").map(Number)) : ipv6Bytes(address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  head.writeUInt16BE(data.length === 4 ? DNS_TYPE.a : DNS_TYPE.aaaa, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(ttlSeconds, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function ipv6Bytes(address: string): Buffer {
  const [front = "", back] = address.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const before = groups(front);
  const after = back === undefined ? [] : groups(back);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  const bytes = Buffer.alloc(16);
  for (const [i, group] of [...before, ...(back === undefined ? [] : zeros), ...after].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  return bytes;
}
