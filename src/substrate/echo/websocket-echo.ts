import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** RFC 6455 §1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_MESSAGE_BYTES = 1 << 20;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const FINAL = 0x80;

/** Accepts any WebSocket and sends each frame back as it came. What is not a proper handshake is closed. @see RFC 6455 */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on("error", () => socket.destroy());
  const key = request.headers["sec-websocket-key"];
  if (request.headers.upgrade?.toLowerCase() !== "websocket" || key === undefined) {
    socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    return;
  }
  const accept = createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  let pending: Buffer = head;
  const drain = () => {
    for (let frame = readFrame(pending); frame !== undefined; frame = readFrame(pending)) {
      if (frame === "invalid") return void socket.destroy();
      pending = pending.subarray(frame.size);
      answer(socket, frame);
    }
  };
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    drain();
  });
  socket.on("end", () => socket.end());
  drain();
}

interface Frame {
  readonly first: number;
  readonly payload: Buffer;
  /** Bytes on the wire. */
  readonly size: number;
}

/** One masked frame, undefined when more bytes are needed. A client that does not mask is cut off (RFC 6455 §5.1). */
function readFrame(bytes: Buffer): Frame | "invalid" | undefined {
  if (bytes.length < 2) return undefined;
  const [first = 0, second = 0] = bytes;
  if ((second & 0x80) === 0) return "invalid";
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < 2 + lengthBytes + 4) return undefined;
  const length =
    lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (length > MAX_MESSAGE_BYTES) return "invalid";
  const start = 2 + lengthBytes + 4;
  if (bytes.length < start + length) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
  return { first, payload, size: start + length };
}

function answer(socket: Duplex, frame: Frame): void {
  const opcode = frame.first & 0x0f;
  if (opcode === PONG) return;
  const first = opcode === PING ? FINAL | PONG : frame.first;
  socket.write(Buffer.concat([frameHead(first, frame.payload.length), frame.payload]));
  if (opcode === CLOSE) socket.end();
}

function frameHead(first: number, length: number): Buffer {
  if (length < 126) return Buffer.from([first, length]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}
