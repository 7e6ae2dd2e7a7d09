/** IP packets as a capture has them: who, to whom, and the bytes inside. RFC 791, RFC 8200, RFC 9293, RFC 768. */

export interface Packet {
  readonly source: string;
  readonly destination: string;
  /** IANA's number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6. */
  readonly protocol: number;
  /** Of TCP and UDP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** What the transport carries; for other protocols all that comes after the IP header. */
  readonly payload: Buffer;
}

export const TCP = 6;
export const UDP = 17;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;
const UDP_HEADER = 8;
const TCP_HEADER = 20;

/** @returns undefined for what is no whole IP packet, as ARP is. */
export function parsePacket(bytes: Buffer): Packet | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4) return parseIpv4(bytes);
  return version === 6 ? parseIpv6(bytes) : undefined;
}

function parseIpv4(bytes: Buffer): Packet | undefined {
  const headerLength = ((bytes[0] ?? 0) & 15) * 4;
  if (bytes.length < IPV4_HEADER || headerLength < IPV4_HEADER) return undefined;
  const total = bytes.readUInt16BE(2);
  if (total < headerLength || total > bytes.length) return undefined;
  const source = bytes.subarray(12, 16).join(".");
  const destination = bytes.subarray(16, 20).join(".");
  const isFirst = (bytes.readUInt16BE(6) & 0x1fff) === 0;
  return inside(source, destination, bytes[9] ?? 0, bytes.subarray(headerLength, total), isFirst);
}

/** Extension headers are not followed: their number is the protocol then, and all that comes after is the payload. */
function parseIpv6(bytes: Buffer): Packet | undefined {
  if (bytes.length < IPV6_HEADER) return undefined;
  const end = IPV6_HEADER + bytes.readUInt16BE(4);
  if (end > bytes.length) return undefined;
  return inside(
    ipv6Text(bytes.subarray(8, 24)),
    ipv6Text(bytes.subarray(24, 40)),
    bytes[6] ?? 0,
    bytes.subarray(IPV6_HEADER, end),
    true,
  );
}

function inside(
  source: string,
  destination: string,
  protocol: number,
  rest: Buffer,
  isFirst: boolean,
): Packet {
  const base = { source, destination, protocol };
  const header = protocol === TCP ? TCP_HEADER : protocol === UDP ? UDP_HEADER : undefined;
  if (header === undefined || !isFirst || rest.length < header) return { ...base, payload: rest };
  const length = protocol === TCP ? ((rest[12] ?? 0) >> 4) * 4 : header;
  return {
    ...base,
    sourcePort: rest.readUInt16BE(0),
    destinationPort: rest.readUInt16BE(2),
    payload: rest.subarray(Math.min(length, rest.length)),
  };
}

/** As RFC 5952 writes it. */
export function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  const text = groups.join(":");
  const [longest] = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  if (longest === undefined) return text;
  const before = text.slice(0, longest.index);
  const after = text.slice(longest.index + longest[0].length);
  return `${before}::${after.replace(/^:/, "")}`;
}
