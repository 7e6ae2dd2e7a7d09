/** RFC 3339 times and durations of the flow log, as integers that fit a double: microseconds since the epoch. */

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;
let cachedText = "";
let cachedMs = 0;

/** Microseconds since the epoch (nanoseconds cut off), or undefined when the text is no RFC 3339 time. */
export function rfc3339Micros(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const second = `${match[1]}${match[3]}`;
  // Records come in order: nearly all of a batch share their second, and Date.parse is the dear part.
  if (second !== cachedText) {
    const ms = Date.parse(second);
    if (Number.isNaN(ms)) return undefined;
    cachedText = second;
    cachedMs = ms;
  }
  const fraction = (match[2] ?? "").slice(0, 6).padEnd(6, "0");
  return cachedMs * 1000 + Number(fraction);
}

/** RFC 3339 in UTC with six fractional digits. */
export function microsRfc3339(micros: number): string {
  const seconds = Math.floor(micros / 1e6);
  const fraction = String(micros - seconds * 1e6).padStart(6, "0");
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}

const UNIT_MICROS: ReadonlyMap<string, number> = new Map([
  ["ms", 1e3],
  ["s", 1e6],
  ["m", 60e6],
  ["h", 3600e6],
  ["d", 86_400e6],
]);

/** `90s`, `1h30m`, `500ms`, `7d` in microseconds, or undefined. */
export function durationMicros(text: string): number | undefined {
  if (!/^(\d{1,9}(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const part of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    total += Number(part[1]) * (UNIT_MICROS.get(part[2] ?? "") ?? 0);
  }
  return total;
}
