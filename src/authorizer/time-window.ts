/** Hours of the week. */
export interface TimeWindow {
  /** 0 = Sunday. Empty: every day. */
  readonly days: readonly number[];
  /** Minutes since midnight; `from` belongs to the window and `to` does not. A window past midnight is of the day it begins on. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** IANA name. */
  readonly zone: string;
}

export const DAYS: readonly string[] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_MINUTES = 24 * 60;

/** Whether the moment is within the window, by the clocks of its zone. */
export function isWithin({ days, fromMinute, toMinute, zone }: TimeWindow, nowMs: number): boolean {
  const { day, minute } = localTime(zone, nowMs);
  const onDay = (weekday: number): boolean => days.length === 0 || days.includes(weekday);
  if (fromMinute < toMinute) return onDay(day) && minute >= fromMinute && minute < toMinute;
  return (onDay(day) && minute >= fromMinute) || (onDay((day + 6) % 7) && minute < toMinute);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function localTime(zone: string, nowMs: number): { day: number; minute: number } {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    formats.set(zone, format);
  }
  const parts = new Map(format.formatToParts(nowMs).map(({ type, value }) => [type, value]));
  const day = DAYS.indexOf((parts.get("weekday") ?? "").toLowerCase());
  return { day, minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")) };
}

/** `08:00` as minutes; `24:00` is the day's end. Undefined for what is none. */
export function parseMinute(text: string): number | undefined {
  const [, hours = "", minutes = ""] = /^(\d{2}):(\d{2})$/.exec(text) ?? [];
  const minute = Number(hours) * 60 + Number(minutes);
  return hours !== "" && Number(minutes) < 60 && minute <= DAY_MINUTES ? minute : undefined;
}

/** Whether this machine knows the zone. */
export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
