import { TAG } from "./der-reader.ts";

/** A piece of DER: bytes ready to copy, or an element whose parts are still to be written. */
export type DerNode = Buffer | DerElementNode;

interface DerElementNode {
  readonly tag: number;
  readonly parts: readonly DerNode[];
  readonly contentLength: number;
}

/** An element of these parts, one after the other. Lengths are summed now so that {@link encodeDer} allocates once. */
export function der(tag: number, ...parts: readonly DerNode[]): DerNode {
  let contentLength = 0;
  for (const part of parts) contentLength += encodedLength(part);
  return { tag, parts, contentLength };
}

/** An OBJECT IDENTIFIER from its content in hexadecimal. */
export function derOid(hex: string): Buffer {
  return encodeDer(der(TAG.oid, Buffer.from(hex, "hex")));
}

/** A BIT STRING of whole bytes. */
export function derBitString(bytes: DerNode): DerNode {
  return der(TAG.bitString, NO_UNUSED_BITS, bytes);
}

/** Certificates of one second share their times; writing one takes 1 µs, two a certificate. */
const MAX_TIMES = 64;
const times = new Map<number, Buffer>();

/** A time: UTCTime to 2049, GeneralizedTime from then on, in whole seconds (RFC 5280 §4.1.2.5). */
export function derTime(date: Date): Buffer {
  const known = times.get(date.getTime());
  if (known !== undefined) return known;
  if (times.size >= MAX_TIMES) times.clear();
  const written = writeTime(date);
  times.set(date.getTime(), written);
  return written;
}

function writeTime(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\..*$/g, "");
  const utc = date.getUTCFullYear() >= 1950 && date.getUTCFullYear() < 2050;
  const text = Buffer.from(`${utc ? digits.slice(2) : digits}Z`, "latin1");
  return encodeDer(der(utc ? TAG.utcTime : TAG.generalizedTime, text));
}

/** The bytes of a tree, in one allocation. */
export function encodeDer(node: DerNode): Buffer {
  if (Buffer.isBuffer(node)) return node;
  const out = Buffer.allocUnsafe(encodedLength(node));
  writeNode(node, out, 0);
  return out;
}

const NO_UNUSED_BITS = Buffer.from([0]);

function encodedLength(node: DerNode): number {
  if (Buffer.isBuffer(node)) return node.length;
  return 2 + lengthBytes(node.contentLength) + node.contentLength;
}

/** How many bytes follow the first byte of the length. */
function lengthBytes(length: number): number {
  if (length < 0x80) return 0;
  if (length < 0x100) return 1;
  return length < 0x10000 ? 2 : 3;
}

function writeNode(node: DerNode, out: Buffer, at: number): number {
  if (Buffer.isBuffer(node)) {
    out.set(node, at);
    return at + node.length;
  }
  out[at] = node.tag;
  const extra = lengthBytes(node.contentLength);
  if (extra === 0) out[at + 1] = node.contentLength;
  else {
    out[at + 1] = 0x80 | extra;
    out.writeUIntBE(node.contentLength, at + 2, extra);
  }
  let next = at + 2 + extra;
  for (const part of node.parts) next = writeNode(part, out, next);
  return next;
}
