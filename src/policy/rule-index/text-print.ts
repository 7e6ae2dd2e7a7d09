/** Numbers that stand for texts: equal ones share theirs, unequal ones mostly do not, and then only cost a comparison. */

/**
 * Of four of its characters and its length: rules are passed over by it without touching their texts, which at ten thousand
 * rules are in no cache.
 */
export function textPrint(text: string): number {
  const last = text.length - 1;
  if (last < 2)
    return last < 0 ? 0 : Math.imul(text.charCodeAt(0) + (text.charCodeAt(last) << 8), 0x9e3779b1);
  const ends = text.charCodeAt(last) ^ (text.charCodeAt(last - 2) << 8);
  const middles = text.charCodeAt(last >> 1) ^ (text.charCodeAt((last * 3) >> 2) << 8);
  const print = Math.imul(ends ^ (last << 16), 0x9e3779b1) ^ Math.imul(middles, 0x85ebca6b);
  return print ^ (print >>> 15);
}

/** Of all of its characters: tells many texts of one make apart. Two chains of products, which the processor works on at once. */
export function textHash(text: string): number {
  const { length } = text;
  let even = length;
  let odd = 0x165667b1;
  let at = 0;
  for (; at + 1 < length; at += 2) {
    even = Math.imul(even ^ text.charCodeAt(at), 0x9e3779b1);
    odd = Math.imul(odd ^ text.charCodeAt(at + 1), 0x85ebca6b);
  }
  if (at < length) even = Math.imul(even ^ text.charCodeAt(at), 0x9e3779b1);
  const mixed = Math.imul(even ^ (even >>> 15), 0xc2b2ae35) ^ odd ^ (odd >>> 13);
  return mixed ^ (mixed >>> 16);
}
