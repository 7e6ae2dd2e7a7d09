/** IP addresses and CIDR blocks as integers: compared on the hot path, so no strings and no objects beyond the one per connection. */

/** An address: `words` holds one 32-bit unsigned number for IPv4, four (network order) for IPv6. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];
}

export interface CidrBlock {
  readonly address: IpAddress;
  /** Bits that must agree: 0–32 or 0–128. */
  readonly prefixLength: number;
}

/**
 * An IPv4 or IPv6 address in text, or undefined when it is none. `::ffff:a.b.c.d` is the IPv4 address, as a dual-stack
 * socket reports it. No zone, port, brackets, leading zeros or short IPv4 forms (RFC 6943 §3.1.1 calls those ambiguous).
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (!text.includes(":")) {
    const v4 = parseIpv4(text);
    return v4 === undefined ? undefined : { family: 4, words: [v4, 0, 0, 0] };
  }
  const groups = parseIpv6Groups(text);
  if (groups === undefined) return undefined;
  const word = (index: number): number => (groups[index] ?? 0) * 0x10000 + (groups[index + 1] ?? 0);
  const words = [word(0), word(2), word(4), word(6)] as const;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff)
    return { family: 4, words: [words[3], 0, 0, 0] };
  return { family: 6, words: [...words] };
}

/** `10.0.0.0/8`, or an address alone (all of its bits), or undefined when it is neither. Host bits may be set. */
export function parseCidrBlock(text: string): CidrBlock | undefined {
  const slash = text.indexOf("/");
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.family === 4 ? 32 : 128;
  if (slash < 0) return { address, prefixLength: width };
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > width) return undefined;
  return { address, prefixLength: Number(length) };
}

/** Whether `address` lies in the block. An address of the other family never does. */
export function cidrContains(block: CidrBlock, address: IpAddress): boolean {
  if (block.address.family !== address.family) return false;
  let rest = block.prefixLength;
  for (let index = 0; rest > 0; index++, rest -= 32) {
    const mask = rest >= 32 ? 0xffffffff : 0xffffffff << (32 - rest);
    if ((((block.address.words[index] ?? 0) ^ (address.words[index] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

function parseIpv6Groups(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseHextets(halves[0] ?? "", halves.length === 1);
  const tail = parseHextets(halves[1] ?? "", true);
  if (head === undefined || tail === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? head : undefined;
  const missing = 8 - head.length - tail.length;
  return missing < 1 ? undefined : [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** @param last whether the part ends the address, where an embedded IPv4 address may stand. */
function parseHextets(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const v4 = last && index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push(Math.floor(v4 / 0x10000), v4 % 0x10000);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** For people; IPv6 without shortening. */
export function formatIpAddress(address: IpAddress): string {
  const hextets = address.words.flatMap((word) => [word >>> 16, word & 0xffff]);
  if (address.family === 6) return hextets.map((hextet) => hextet.toString(16)).join(":");
  const [word] = address.words;
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join(".");
}
