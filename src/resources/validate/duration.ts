import { type Field, quoted } from "./field.ts";

const UNIT_NS: Readonly<Record<string, number>> = {
  h: 3_600_000_000_000,
  m: 60_000_000_000,
  s: 1_000_000_000,
  ms: 1_000_000,
  us: 1000,
  µs: 1000,
  μs: 1000,
  ns: 1,
};

/** A duration as Go writes it (`1h30m`, `-1.5s`, `0`), in nanoseconds; undefined where it is none. */
export function parseDurationNs(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  const rest = text.replace(/^[-+]/, "");
  if (rest === "0") return 0;
  if (rest.length > 64 || !/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(rest)) return undefined;
  let total = 0;
  for (const [, amount, unit] of rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Math.round(Number(amount) * (UNIT_NS[unit ?? ""] ?? 0));
  }
  return sign * total;
}

const MILLISECOND_NS = 1_000_000;

/** What Istio asks of every duration: at least one millisecond, and no finer than milliseconds. */
export function checkDuration(field: Field): void {
  if (!field.present) return;
  const ns = parseDurationNs(field.text);
  const problem =
    ns === undefined
      ? "is no duration"
      : ns < MILLISECOND_NS
        ? "is shorter than 1ms"
        : ns % MILLISECOND_NS !== 0
          ? "is finer than milliseconds"
          : undefined;
  if (problem === undefined) return;
  field.error(
    "BW1218_BAD_DURATION",
    `\`${field.name}\` is ${quoted(field.value)}, which ${problem}`,
    "write it like `1.5s`, `250ms` or `1h30m`; leave it out for the default",
  );
}
