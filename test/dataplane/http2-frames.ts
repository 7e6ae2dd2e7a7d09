/** HTTP/2 by hand, for what Node's client does not send. @see RFC 9113 §4.1, RFC 7541 §6.2.2 */

export const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const END_STREAM = 1;
export const END_HEADERS = 4;
export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, goaway: 7, continuation: 9 } as const;

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** A literal field without indexing; name and value are shorter than 127 bytes. */
export function field(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);
}

/** A whole request without a body. */
export function requestFrame(stream: number, fields: readonly (readonly [string, string])[]): Buffer {
  const block = Buffer.concat(fields.map(([name, value]) => field(name, value)));
  return frame(FRAME.headers, END_STREAM | END_HEADERS, stream, block);
}

/** Type and stream of each whole frame. */
export function framesIn(bytes: Buffer): { readonly type: number; readonly stream: number }[] {
  const frames: { type: number; stream: number }[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    frames.push({ type: bytes.readUInt8(at + 3), stream: bytes.readUInt32BE(at + 5) });
  return frames;
}
