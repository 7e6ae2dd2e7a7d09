const LF = 0x0a;
const CR = 0x0d;
const HEAD_END = Buffer.from("\r\n\r\n", "latin1");

/** {@link findHeadEnd}: the head is not complete. */
export const HEAD_INCOMPLETE = -1;
/** {@link findHeadEnd}: no end within the limit. Answer 431. */
export const HEAD_TOO_LARGE = -2;
/** {@link findHeadEnd}: a bare LF; waiting for CRLF CRLF would let a time-out answer instead of 400. */
export const HEAD_BARE_LF = -3;

/**
 * Finds the end of the head that begins at `start`, looking only at bytes from `scanned` on (give the length that the last
 * call looked at), and returns the offset behind CRLF CRLF or one of the negative constants.
 */
export function findHeadEnd(bytes: Buffer, start: number, scanned: number, maxHeadBytes: number): number {
  const from = Math.max(start, scanned - 3);
  const found = bytes.indexOf(HEAD_END, from);
  if (found >= 0 && found + 4 - start <= maxHeadBytes) return found + 4;
  if (found >= 0 || bytes.length - start >= maxHeadBytes) return HEAD_TOO_LARGE;
  for (let lf = bytes.indexOf(LF, from); lf >= 0; lf = bytes.indexOf(LF, lf + 1)) {
    if (lf === start || bytes[lf - 1] !== CR) return HEAD_BARE_LF;
  }
  return HEAD_INCOMPLETE;
}
