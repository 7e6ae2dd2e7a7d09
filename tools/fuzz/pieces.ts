import type { Random } from "./random.ts";

/** More pieces of one input tell nothing new, and cost a copy of what is held at each. */
const MOST_PIECES = 400;

/** The same bytes cut at random places, short ones sometimes into single bytes; empty pieces too. */
export function pieces(bytes: Buffer, random: Random): Buffer[] {
  const most = Math.max(random.pick([1, 2, 7, 64, 1500]), Math.ceil(bytes.length / MOST_PIECES));
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = random.chance(12) ? 0 : most > 7 ? 1 + random.below(2 * most) : 1 + random.below(most);
    parts.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return parts;
}
