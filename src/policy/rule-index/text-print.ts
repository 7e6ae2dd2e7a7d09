/**
 * A number that equal texts share and unequal ones mostly do not: five of its characters and its length. Rules are passed
 * over by it without touching their texts, which at ten thousand rules are in no cache.
 */
export function textPrint(text: string): number {
  const { length } = text;
  if (length === 0) return 0;
  const last = length - 1;
  let print = Math.imul(length ^ (text.charCodeAt(last) << 7), 0x9e3779b1);
  print = Math.imul(print ^ text.charCodeAt(last >> 1), 0x85ebca6b);
  if (length > 2) {
    print = Math.imul(print ^ text.charCodeAt(last - 1), 0xc2b2ae35);
    print = Math.imul(print ^ text.charCodeAt(last - 2), 0x27d4eb2f);
    print = Math.imul(print ^ text.charCodeAt((last * 3) >> 2), 0x165667b1);
  }
  return print ^ (print >>> 15);
}

/** One of 32 bits, for sets of texts in one integer. */
export function printBit(print: number): number {
  return 1 << (print & 31);
}
