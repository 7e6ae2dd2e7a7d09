/** HTTP/2 with prior knowledge as bytes: one request, and the status of its answer. @see RFC 9113, RFC 7541 */
import type { AskedRequest } from "./promise.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const FRAME_HEADER = 9;
const HEADERS = 1;
const SETTINGS = 4;
const END_STREAM_AND_HEADERS = 5;
/** HPACK's static table: `:method: GET`, `:scheme: http`; names of `:path` and `:authority`. */
const GET = 0x82;
const HTTP = 0x86;
const PATH_NAME = 0x44;
const AUTHORITY_NAME = 0x41;
/** Statuses of the static table, by their one byte. */
const STATUSES: Readonly<Record<number, number>> = {
  136: 200,
  137: 204,
  138: 206,
  139: 304,
  140: 400,
  141: 404,
  142: 500,
};
/** `:status` with its value written out, by an indexed name. */
const STATUS_NAMES: ReadonlySet<number> = new Set([0x08, 0x18, 0x48]);

/** Preface, empty SETTINGS, and a GET. Paths and hosts are shorter than 127 bytes. */
export function http2RequestBytes({ path, host }: AskedRequest): Buffer {
  const block = Buffer.concat([
    Buffer.from([GET, HTTP]),
    literal(PATH_NAME, path.slice(0, 126)),
    literal(AUTHORITY_NAME, host.slice(0, 126)),
  ]);
  return Buffer.concat([
    PREFACE,
    frame(SETTINGS, 0, 0, Buffer.alloc(0)),
    frame(HEADERS, END_STREAM_AND_HEADERS, 1, block),
  ]);
}

/** Status of the first answer; undefined when the bytes hold none: refused, reset, or no HTTP/2. 0 for one that is coded another way. */
export function http2AnswerStatus(bytes: Buffer): number | undefined {
  for (let at = 0; at + FRAME_HEADER <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const first = bytes[at + FRAME_HEADER] ?? 0;
    if (bytes[at + 3] === HEADERS) return STATUSES[first] ?? writtenStatus(bytes, at + FRAME_HEADER, first);
    if (bytes[at + 3] !== SETTINGS && at === 0) return undefined;
    at += FRAME_HEADER + length;
  }
  return undefined;
}

function writtenStatus(bytes: Buffer, at: number, first: number): number {
  const status = Number(bytes.toString("latin1", at + 2, at + 5));
  return STATUS_NAMES.has(first) && bytes[at + 1] === 3 && status >= 100 ? status : 0;
}

function literal(name: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([name, value.length]), Buffer.from(value, "latin1")]);
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}
