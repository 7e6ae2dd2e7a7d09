/** A span of time in milliseconds, to the microsecond: clocks give no more that means anything, only digits that floating point adds. */
export function toMicrosecond(ms: number): number {
  const rounded = Math.round(ms * 1000) / 1000;
  return Number.isFinite(rounded) ? rounded : ms;
}
