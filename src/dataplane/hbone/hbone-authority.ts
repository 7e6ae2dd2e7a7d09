import { isIP, isIPv4 } from "node:net";
import { canonicalAddress } from "../../policy/waypoint/served-addresses.ts";

/** Where a tunnel leads to. */
export interface HboneAuthority {
  /** As RFC 5952 writes it; IPv4 that is written as IPv6 is IPv4. */
  readonly ip: string;
  readonly port: number;
}

/** `[` 45 characters of an address `]:65535`. */
const MAX_LENGTH = 53;
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/;

/**
 * Reads the `:authority` of a CONNECT: an address and a port, IPv6 in brackets, and nothing else. Names are refused: who serves a tunnel
 * judges by addresses, and what a name leads to is not for a client's word to say.
 * @returns undefined for anything else.
 * @see RFC 9113 §8.5, RFC 3986 §3.2
 */
export function parseHboneAuthority(text: string | undefined): HboneAuthority | undefined {
  if (text === undefined || text.length > MAX_LENGTH) return undefined;
  const [, bracketed, plain, digits] = AUTHORITY.exec(text) ?? [];
  const port = Number(digits);
  const address = bracketed ?? plain;
  if (address === undefined || !(port <= 65_535)) return undefined;
  if (isIP(address) !== (bracketed === undefined ? 4 : 6)) return undefined;
  const ip = canonicalAddress(address);
  return ip === undefined ? undefined : { ip: isIPv4(ip) ? ip : shortest(ip), port };
}

/** As {@link parseHboneAuthority} reads it. */
export function hboneAuthority(ip: string, port: number): string {
  return isIPv4(ip) ? `${ip}:${port}` : `[${ip}]:${port}`;
}

function shortest(ipv6: string): string {
  return new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
}
