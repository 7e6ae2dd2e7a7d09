/** Packets that no system call makes: with a source that is not the sender's. RFC 791, RFC 9293; DNS questions by RFC 1035. */
import { TCP } from "./packet.ts";

const IPV4_HEADER = 20;
const TCP_HEADER = 20;
const SYN = 2;
const TTL = 64;

export interface ForgedSyn {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** A TCP SYN with bytes in it, IP header included, over IPv4. */
export function forgedSyn({ source, destination, sourcePort, destinationPort, payload }: ForgedSyn): Buffer {
  const tcp = Buffer.alloc(TCP_HEADER + payload.length);
  tcp.writeUInt16BE(sourcePort, 0);
  tcp.writeUInt16BE(destinationPort, 2);
  tcp[12] = (TCP_HEADER / 4) << 4;
  tcp[13] = SYN;
  tcp.writeUInt16BE(0xffff, 14);
  payload.copy(tcp, TCP_HEADER);
  const header = ipv4Header(source, destination, TCP, tcp.length);
  const pseudo = Buffer.concat([
    header.subarray(12, 20),
    Buffer.from([0, TCP, tcp.length >> 8, tcp.length & 255]),
  ]);
  tcp.writeUInt16BE(checksum(Buffer.concat([pseudo, tcp])), 16);
  return Buffer.concat([header, tcp]);
}

function ipv4Header(source: string, destination: string, protocol: number, length: number): Buffer {
  const header = Buffer.alloc(IPV4_HEADER);
  header[0] = 0x45;
  header.writeUInt16BE(IPV4_HEADER + length, 2);
  header[8] = TTL;
  header[9] = protocol;
  header.set(source.split(".").map(Number), 12);
  header.set(destination.split(".").map(Number), 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const TYPE_TXT = 16;
const CLASS_IN = 1;

/** A question for a name's TXT records, as tunnels ask. */
export function dnsQuestion(name: string): Buffer {
  const header = Buffer.from([0x42, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name
    .split(".")
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, TYPE_TXT, 0, CLASS_IN])]);
}

/** Over TCP each message has its length before it (RFC 1035 §4.2.2). */
export function overTcp(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
}

const RCODES: readonly string[] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** What a DNS server answered, in its own word. @returns undefined for what is no answer. */
export function dnsRcode(message: Buffer): string | undefined {
  if (message.length < 12) return undefined;
  const rcode = (message[3] ?? 0) & 15;
  return RCODES[rcode] ?? `RCODE ${rcode}`;
}
