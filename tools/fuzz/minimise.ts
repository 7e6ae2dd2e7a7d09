/** Long enough for what a person reads; a slow check must not hold the run up. */
const MOST_MS = 4000;

/**
 * Delta debugging: takes away ever smaller parts while the input still fails in the same way, then makes bytes plain.
 * @param fails whether an input breaks the same law.
 */
export async function minimise(
  input: Buffer,
  fails: (input: Buffer) => Promise<boolean>,
  mostMs: number = MOST_MS,
): Promise<Buffer> {
  const end = performance.now() + mostMs;
  let least = input;
  for (let size = Math.ceil(least.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < least.length; ) {
      if (performance.now() > end) return least;
      const without = Buffer.concat([least.subarray(0, at), least.subarray(at + size)]);
      if (await fails(without)) least = without;
      else at += size;
    }
  }
  for (let at = 0; at < least.length && performance.now() < end; at++) {
    const plain = Buffer.from(least);
    plain[at] = 0x61;
    if (least[at] !== 0x61 && (await fails(plain))) least = plain;
  }
  return least;
}
