/** Divides all addresses by CIDR blocks: blocks are nested or apart, so a cell is a block without those inside it. */
import type { CidrBlock, IpAddress } from "../../policy/ip-address.ts";

export interface AddressCell {
  /** As text; the lowest address of the cell that a host may have. */
  readonly sample: string;
  /** The block, as text: `10.0.0.0/8`; `0.0.0.0/0` and `::/0` where no policy names one. */
  readonly block: string;
  /** Blocks inside it that are cells of their own. */
  readonly except: readonly string[];
}

export interface AddressCells {
  readonly cells: readonly AddressCell[];
  readonly cellOf: (address: IpAddress) => number | undefined;
}

interface Range {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  readonly length: number;
}

export function addressCells(blocks: readonly CidrBlock[]): AddressCells {
  const all = [
    { family: 4, words: [0, 0, 0, 0] },
    { family: 6, words: [0, 0, 0, 0] },
  ] as const;
  const ranges = distinct([...all.map((address) => ({ address, prefixLength: 0 })), ...blocks].map(rangeOf));
  const inside = directlyInside(ranges);
  const found = ranges.flatMap((range) => {
    const largest = inside.get(range) ?? [];
    const free = firstFree(range, largest);
    return free === undefined ? [] : [{ range, cell: cellAt(range, free, largest) }];
  });
  return {
    cells: found.map(({ cell }) => cell),
    cellOf: (address) => {
      const value = numberOf(address);
      let best: number | undefined;
      for (const [at, { range }] of found.entries()) {
        if (range.family !== address.family || value < range.first || value > range.last) continue;
        if (best === undefined || range.length > (found[best]?.range.length ?? 0)) best = at;
      }
      return best;
    },
  };
}

function distinct(ranges: readonly Range[]): readonly Range[] {
  return [
    ...new Map(ranges.map((range) => [`${range.family} ${range.first}/${range.length}`, range])).values(),
  ];
}

/** Of each range the largest that lie in it. Outer ranges come before those that they hold, so that one walk with a stack does. */
function directlyInside(ranges: readonly Range[]): ReadonlyMap<Range, readonly Range[]> {
  const inside = new Map<Range, Range[]>();
  const around: Range[] = [];
  for (const range of ranges.toSorted(outerFirst)) {
    let holder = around.at(-1);
    while (holder !== undefined && (holder.family !== range.family || holder.last < range.first)) {
      around.pop();
      holder = around.at(-1);
    }
    if (holder !== undefined) listIn(inside, holder).push(range);
    around.push(range);
  }
  return inside;
}

function listIn(lists: Map<Range, Range[]>, range: Range): Range[] {
  const list = lists.get(range) ?? [];
  lists.set(range, list);
  return list;
}

function outerFirst(a: Range, b: Range): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  return a.length - b.length;
}

/** @param inside apart from each other. */
function firstFree({ first, last, length, family }: Range, inside: readonly Range[]): bigint | undefined {
  // The address of a network itself is nobody's: the next one, where there is one.
  const width = family === 4 ? 32 : 128;
  let at = length < width - 1 ? first + 1n : first;
  for (const range of inside.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    if (at < range.first) break;
    if (at <= range.last) at = range.last + 1n;
  }
  if (at <= last) return at;
  return length < width - 1 && !inside.some((range) => range.first === first) ? first : undefined;
}

function cellAt(range: Range, free: bigint, inside: readonly Range[]): AddressCell {
  return { sample: textOf(range.family, free), block: blockText(range), except: inside.map(blockText) };
}

function rangeOf({ address, prefixLength }: CidrBlock): Range {
  const width = address.family === 4 ? 32 : 128;
  const size = 1n << BigInt(width - prefixLength);
  const first = (numberOf(address) / size) * size;
  return { family: address.family, first, last: first + size - 1n, length: prefixLength };
}

function numberOf({ family, words }: IpAddress): bigint {
  if (family === 4) return BigInt(words[0] ?? 0);
  return words.reduce((value, word) => (value << 32n) | BigInt(word), 0n);
}

function blockText({ family, first, length }: Range): string {
  return length === (family === 4 ? 32 : 128) ? textOf(family, first) : `${textOf(family, first)}/${length}`;
}

/** IPv6 as RFC 5952 writes it. */
function textOf(family: 4 | 6, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((value >> BigInt(112 - 16 * at)) & 0xffffn).toString(16),
  );
  const longest = /\b0(?::0)+\b/g;
  const text = groups.join(":");
  const runs = [...text.matchAll(longest)].toSorted((a, b) => b[0].length - a[0].length);
  const [run] = runs;
  if (run === undefined) return text;
  const head = text.slice(0, run.index).replace(/:$/, "");
  const tail = text.slice(run.index + run[0].length).replace(/^:/, "");
  return `${head}::${tail}`;
}
