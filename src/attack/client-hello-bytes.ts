/** ClientHellos as bytes, to be bent: one that OpenSSL made, its extensions replaced, its records cut as wanted. */
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";

const HANDSHAKE = 0x16;
const RECORD_HEADER = 5;
const RANDOM_END = 4 + 34;
const SERVER_NAME = 0;
export const ENCRYPTED_CLIENT_HELLO = 0xfe0d;

/** The first flight of a real client, one TLS record. @param serverName empty for none. */
export function clientHello(serverName: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
        setImmediate(() => client.destroy());
      },
    });
    const client = connectTls({
      socket: wire,
      ...(serverName === "" ? {} : { servername: serverName }),
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: false,
    });
    client.on("error", reject);
  });
}

interface Extension {
  readonly type: number;
  readonly data: Buffer;
}

/** The same hello with its extensions changed. Lengths are made to fit. */
export function withExtensions(
  hello: Buffer,
  change: (extensions: readonly Extension[]) => readonly Extension[],
): Buffer {
  const message = hello.subarray(RECORD_HEADER);
  const start = extensionsStart(message);
  const extensions: Extension[] = [];
  for (let at = start + 2; at + 4 <= message.length; ) {
    const end = at + 4 + message.readUInt16BE(at + 2);
    extensions.push({ type: message.readUInt16BE(at), data: message.subarray(at + 4, end) });
    at = end;
  }
  const body = Buffer.concat(change(extensions).map(encodeExtension));
  return record(handshake(Buffer.concat([message.subarray(4, start), uint16(body.length), body])));
}

/** A server_name extension with these names, as they are. @see RFC 6066 §3 */
export function serverNames(...names: readonly (string | Buffer)[]): Extension {
  const entries = names.map((name) => {
    const bytes = typeof name === "string" ? Buffer.from(name, "latin1") : name;
    return Buffer.concat([Buffer.from([0]), uint16(bytes.length), bytes]);
  });
  const list = Buffer.concat(entries);
  return { type: SERVER_NAME, data: Buffer.concat([uint16(list.length), list]) };
}

/** Replaces the server name. */
export function withServerNames(hello: Buffer, ...names: readonly (string | Buffer)[]): Buffer {
  return withExtensions(hello, (all) => [
    serverNames(...names),
    ...all.filter(({ type }) => type !== SERVER_NAME),
  ]);
}

/** Two server_name extensions: two readers could take one each. */
export function withTwoNameExtensions(hello: Buffer, first: string, second: string): Buffer {
  return withExtensions(hello, (all) => [
    serverNames(first),
    ...all.filter(({ type }) => type !== SERVER_NAME),
    serverNames(second),
  ]);
}

/** An outer encrypted_client_hello, as a client with a real inner hello sends it (RFC 9849 §5). */
export function withEncryptedHello(hello: Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from([0, 0, 1, 0, 1, 42]),
    uint16(32),
    Buffer.alloc(32, 7),
    uint16(144),
    Buffer.alloc(144, 9),
  ]);
  return withExtensions(hello, (all) => [...all, { type: ENCRYPTED_CLIENT_HELLO, data: body }]);
}

/** Cuts the hello into records of at most so many bytes. */
export function inRecords(hello: Buffer, bytesEach: number): Buffer {
  const message = hello.subarray(RECORD_HEADER);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += bytesEach)
    records.push(record(message.subarray(at, at + bytesEach)));
  return Buffer.concat(records);
}

/** Cuts bytes into packets. */
export function inPackets(bytes: Buffer, bytesEach: number): readonly Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += bytesEach) packets.push(bytes.subarray(at, at + bytesEach));
  return packets;
}

/** Offset of the extensions' length field in a handshake message. */
function extensionsStart(message: Buffer): number {
  let at = RANDOM_END;
  at += 1 + message.readUInt8(at);
  at += 2 + message.readUInt16BE(at);
  return at + 1 + message.readUInt8(at);
}

function encodeExtension({ type, data }: Extension): Buffer {
  return Buffer.concat([uint16(type), uint16(data.length), data]);
}

function handshake(body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt8(1, 0);
  header.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([header, body]);
}

function record(fragment: Buffer): Buffer {
  return Buffer.concat([Buffer.from([HANDSHAKE, 3, 1]), uint16(fragment.length), fragment]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
