/** Ranges of addresses of one family, as integers. */
import { type IpAddress, parseCidrBlock, parseIpAddress } from "../ip-address.ts";

export type AddressFamily = 4 | 6;

/** Both ends belong to it. */
export interface AddressRange {
  readonly family: AddressFamily;
  readonly first: bigint;
  readonly last: bigint;
}

const BITS: Readonly<Record<AddressFamily, bigint>> = { 4: 32n, 6: 128n };

export function allAddresses(family: AddressFamily): AddressRange {
  return { family, first: 0n, last: (1n << BITS[family]) - 1n };
}

/** @throws {Error} where the text is no CIDR block: it was validated before. */
export function cidrRange(text: string): AddressRange {
  const block = parseCidrBlock(text);
  if (block === undefined) throw new Error(`BUG: \`${text}\` passed for a CIDR block`);
  const { family } = block.address;
  const hostBits = BITS[family] - BigInt(block.prefixLength);
  const first = (integerOf(block.address) >> hostBits) << hostBits;
  return { family, first, last: first + (1n << hostBits) - 1n };
}

/** The address alone; undefined where the text is none. */
export function addressRange(text: string): AddressRange | undefined {
  const address = parseIpAddress(text);
  if (address === undefined) return undefined;
  const value = integerOf(address);
  return { family: address.family, first: value, last: value };
}

function integerOf({ family, words }: IpAddress): bigint {
  if (family === 4) return BigInt(words[0]);
  return words.reduce((value, word) => (value << 32n) + BigInt(word), 0n);
}

/** @param others of any family, in any order. @returns ascending, disjoint. */
export function subtractRanges(whole: AddressRange, others: readonly AddressRange[]): AddressRange[] {
  const { family } = whole;
  const left: AddressRange[] = [];
  let next = whole.first;
  const inside = others
    .filter((other) => other.family === family && other.last >= whole.first && other.first <= whole.last)
    .sort((a, b) => (a.first < b.first ? -1 : 1));
  for (const { first, last } of inside) {
    if (first > next) left.push({ family, first: next, last: first - 1n });
    if (last >= next) next = last + 1n;
  }
  if (next <= whole.last) left.push({ family, first: next, last: whole.last });
  return left;
}

/** Whether `range` lies in one of them. */
export function liesIn(range: AddressRange, ranges: readonly AddressRange[]): boolean {
  return ranges.some(
    ({ family, first, last }) => family === range.family && range.first >= first && range.last <= last,
  );
}

/** `10.0.0.0-10.255.255.255` */
export function formatRange({ family, first, last }: AddressRange): string {
  return `${formatAddress(family, first)}-${formatAddress(family, last)}`;
}

/** IPv6 as RFC 5952 writes it. */
export function formatAddress(family: AddressFamily, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((value >> BigInt(112 - 16 * at)) & 0xffffn).toString(16),
  );
  const zeros = longestZeros(groups);
  if (zeros === undefined) return groups.join(":");
  return `${groups.slice(0, zeros.start).join(":")}::${groups.slice(zeros.end).join(":")}`;
}

function longestZeros(groups: readonly string[]): { start: number; end: number } | undefined {
  let best: { start: number; end: number } | undefined;
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === "0") end++;
    if (end - start > (best === undefined ? 1 : best.end - best.start)) best = { start, end };
  }
  return best;
}
