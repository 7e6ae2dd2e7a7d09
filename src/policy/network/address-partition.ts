/** The outside, cut where policies cut it: in no part does one address differ from another. */
import { type AddressFamily, type AddressRange, allAddresses } from "./address-range.ts";

export interface AddressPartition {
  /** Ascending and adjacent: together all addresses of the family. */
  readonly parts: readonly AddressRange[];
  /** First and last part of a range that the partition was made from. */
  indexesOf(range: AddressRange): readonly [first: number, last: number];
}

/** The coarsest partition in which each range of the family is a union of parts. */
export function partitionAddresses(family: AddressFamily, ranges: readonly AddressRange[]): AddressPartition {
  const whole = allAddresses(family);
  const starts = new Set([whole.first]);
  for (const range of ranges) {
    if (range.family !== family) continue;
    starts.add(range.first);
    if (range.last < whole.last) starts.add(range.last + 1n);
  }
  const sorted = [...starts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const parts = sorted.map((first, at) => ({
    family,
    first,
    last: (sorted[at + 1] ?? whole.last + 1n) - 1n,
  }));
  const indexes = new Map(sorted.map((first, at) => [first, at]));
  return {
    parts,
    indexesOf: ({ first, last }) => [
      indexes.get(first) ?? 0,
      last === whole.last ? parts.length - 1 : (indexes.get(last + 1n) ?? 1) - 1,
    ],
  };
}
