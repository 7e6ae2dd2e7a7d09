import type { ClientHello, ClientHelloInvalid, ClientHelloInvalidReason } from "./client-hello.ts";
import { readDnsName } from "./dns-name.ts";

const RANDOM_END = 34;
const MAX_SESSION_ID_BYTES = 32;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const EXTENSION_SUPPORTED_VERSIONS = 43;
const EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const NAME_TYPE_HOST = 0;

interface Draft {
  kind: "hello";
  serverName?: string;
  alpn: string[];
  hasEncryptedClientHello: boolean;
  supportedVersions: number[];
}

type Fault = ClientHelloInvalidReason | undefined;

/** Reads the body of a ClientHello (after the four-byte handshake header). Every length must account for every byte. */
export function readHelloBody(body: Buffer): ClientHello | ClientHelloInvalid {
  const hello: Draft = { kind: "hello", alpn: [], hasEncryptedClientHello: false, supportedVersions: [] };
  const start = extensionsStart(body);
  if (typeof start === "string") return { kind: "invalid", reason: start };
  // A hello may end after compression_methods: TLS 1.2 clients without extensions (RFC 5246 §7.4.1.2).
  const fault = start === body.length ? undefined : readExtensions(body, start, hello);
  return fault === undefined ? hello : { kind: "invalid", reason: fault };
}

/** Offset of the extensions' length field, or the body's end when there is none. */
function extensionsStart(body: Buffer): number | ClientHelloInvalidReason {
  if (body.length < RANDOM_END + 1) return "hello-truncated";
  const sessionIdBytes = body.readUInt8(RANDOM_END);
  if (sessionIdBytes > MAX_SESSION_ID_BYTES) return "bad-length";
  let at = RANDOM_END + 1 + sessionIdBytes;
  if (at + 2 > body.length) return "hello-truncated";
  const cipherBytes = body.readUInt16BE(at);
  if (cipherBytes < 2 || cipherBytes % 2 !== 0) return "bad-length";
  at += 2 + cipherBytes;
  if (at + 1 > body.length) return "hello-truncated";
  const compressionBytes = body.readUInt8(at);
  if (compressionBytes < 1) return "bad-length";
  at += 1 + compressionBytes;
  return at > body.length ? "hello-truncated" : at;
}

function readExtensions(body: Buffer, start: number, hello: Draft): Fault {
  if (start + 2 > body.length) return "hello-truncated";
  if (body.readUInt16BE(start) !== body.length - start - 2) return "bad-length";
  const seen = new Set<number>();
  let at = start + 2;
  while (at < body.length) {
    if (at + 4 > body.length) return "bad-length";
    const type = body.readUInt16BE(at);
    const end = at + 4 + body.readUInt16BE(at + 2);
    if (end > body.length) return "bad-length";
    if (seen.has(type)) return "duplicate-extension";
    seen.add(type);
    const fault = readExtension(type, body.subarray(at + 4, end), hello);
    if (fault !== undefined) return fault;
    at = end;
  }
  return undefined;
}

function readExtension(type: number, data: Buffer, hello: Draft): Fault {
  switch (type) {
    case EXTENSION_SERVER_NAME:
      return readServerName(data, hello);
    case EXTENSION_ALPN:
      return readAlpn(data, hello);
    case EXTENSION_SUPPORTED_VERSIONS:
      return readSupportedVersions(data, hello);
    case EXTENSION_ENCRYPTED_CLIENT_HELLO:
      hello.hasEncryptedClientHello = true;
      return undefined;
    default:
      return undefined;
  }
}

/** INVARIANT: exactly one host_name: a second name would let two readers route by different ones (RFC 6066 §3). */
function readServerName(data: Buffer, hello: Draft): Fault {
  if (data.length < 5 || data.readUInt16BE(0) !== data.length - 2) return "bad-length";
  if (data.readUInt8(2) !== NAME_TYPE_HOST) return "server-name-type";
  const end = 5 + data.readUInt16BE(3);
  if (end > data.length) return "bad-length";
  if (end < data.length) return "several-server-names";
  const name = readDnsName(data, 5, end);
  if (name === undefined) return "server-name-invalid";
  hello.serverName = name;
  return undefined;
}

function readAlpn(data: Buffer, hello: Draft): Fault {
  if (data.length < 4 || data.readUInt16BE(0) !== data.length - 2) return "alpn-invalid";
  for (let at = 2; at < data.length; ) {
    const end = at + 1 + data.readUInt8(at);
    if (end === at + 1 || end > data.length) return "alpn-invalid";
    hello.alpn.push(data.toString("latin1", at + 1, end));
    at = end;
  }
  return undefined;
}

function readSupportedVersions(data: Buffer, hello: Draft): Fault {
  const listBytes = data.length - 1;
  if (listBytes < 2 || listBytes % 2 !== 0 || data.readUInt8(0) !== listBytes)
    return "supported-versions-invalid";
  for (let at = 1; at < data.length; at += 2) hello.supportedVersions.push(data.readUInt16BE(at));
  return undefined;
}
