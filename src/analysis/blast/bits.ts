/** Sets of small numbers, packed: thousands of them are joined and met for every component of a mesh. */

export type Bits = Uint32Array;

export function noBits(size: number): Bits {
  return new Uint32Array((size + 31) >>> 5);
}

export function allBits(size: number): Bits {
  const bits = noBits(size).fill(0xffff_ffff);
  if ((size & 31) !== 0 && bits.length > 0) bits[bits.length - 1] = (2 ** (size & 31) - 1) >>> 0;
  return bits;
}

export function setBit(bits: Bits, at: number): void {
  const word = at >>> 5;
  bits[word] = ((bits[word] ?? 0) | (1 << (at & 31))) >>> 0;
}

export function clearBit(bits: Bits, at: number): void {
  const word = at >>> 5;
  bits[word] = ((bits[word] ?? 0) & ~(1 << (at & 31))) >>> 0;
}

export function hasBit(bits: Bits, at: number): boolean {
  return ((bits[at >>> 5] ?? 0) & (1 << (at & 31))) !== 0;
}

export function addBits(into: Bits, other: Bits): void {
  for (let word = 0; word < into.length; word++) into[word] = ((into[word] ?? 0) | (other[word] ?? 0)) >>> 0;
}

export function countBits(bits: Bits): number {
  let count = 0;
  for (let word = 0; word < bits.length; word++) {
    let rest = bits[word] ?? 0;
    rest -= (rest >>> 1) & 0x5555_5555;
    rest = (rest & 0x3333_3333) + ((rest >>> 2) & 0x3333_3333);
    count += (((rest + (rest >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
  }
  return count;
}

/** Ascending. */
export function* bitsIn(bits: Bits): Generator<number> {
  for (let word = 0; word < bits.length; word++) {
    for (let rest = bits[word] ?? 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0)
      yield (word << 5) + (31 - Math.clz32(rest & -rest));
  }
}
