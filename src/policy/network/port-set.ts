/**
 * A set of ports: first and last of each interval in turn, ascending, disjoint and not adjacent. Equal sets are equal lists.
 */
export type PortSet = readonly number[];

export const NO_PORTS: PortSet = [];
const FIRST_PORT = 1;
const LAST_PORT = 65_535;
export const ALL_PORTS: PortSet = [FIRST_PORT, LAST_PORT];

/** @param last at least `first`; both from 1 to 65535. */
export function portRange(first: number, last: number): PortSet {
  return [first, last];
}

export function hasPort(set: PortSet, port: number): boolean {
  for (let at = 0; at < set.length; at += 2)
    if (port >= (set[at] ?? 0) && port <= (set[at + 1] ?? 0)) return true;
  return false;
}

export function unionPorts(a: PortSet, b: PortSet): PortSet {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const result: number[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const fromA = j >= b.length || (i < a.length && (a[i] ?? 0) <= (b[j] ?? 0));
    const [first, last] = fromA ? [a[i], a[i + 1]] : [b[j], b[j + 1]];
    if (fromA) i += 2;
    else j += 2;
    append(result, first ?? 0, last ?? 0);
  }
  return result;
}

/** Adds an interval that starts no earlier than those before it. */
function append(set: number[], first: number, last: number): void {
  const before = set.at(-1);
  if (before === undefined || first > before + 1) set.push(first, last);
  else if (last > before) set[set.length - 1] = last;
}

export function intersectPorts(a: PortSet, b: PortSet): PortSet {
  const result: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const first = Math.max(a[i] ?? 0, b[j] ?? 0);
    const lastA = a[i + 1] ?? 0;
    const lastB = b[j + 1] ?? 0;
    const last = Math.min(lastA, lastB);
    if (first <= last) result.push(first, last);
    if (lastA <= lastB) i += 2;
    else j += 2;
  }
  return result;
}

export function subtractPorts(a: PortSet, b: PortSet): PortSet {
  return intersectPorts(a, complementPorts(b));
}

function complementPorts(set: PortSet): PortSet {
  const result: number[] = [];
  let next = FIRST_PORT;
  for (let at = 0; at < set.length; at += 2) {
    const first = set[at] ?? 0;
    if (first > next) result.push(next, first - 1);
    next = (set[at + 1] ?? 0) + 1;
  }
  if (next <= LAST_PORT) result.push(next, LAST_PORT);
  return result;
}

/** `80,8080-8090` */
export function formatPorts(set: PortSet): string {
  const parts: string[] = [];
  for (let at = 0; at < set.length; at += 2)
    parts.push(set[at] === set[at + 1] ? `${set[at]}` : `${set[at]}-${set[at + 1]}`);
  return parts.join(",");
}
