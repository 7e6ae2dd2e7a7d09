import { isIP } from "node:net";
import { FLOW_DIRECTIONS, FLOW_KINDS, FLOW_VERDICTS } from "../model/flow-record.ts";
import { FLOW_TEXT_FIELDS, type FlowTextFieldName } from "./flow-fields.ts";
import { durationMicros, microsRfc3339, rfc3339Micros } from "./flow-time.ts";
import { nearestWord } from "./nearest-word.ts";

/**
 * Which records to show. Fields are joined by AND, the values of one field by OR.
 * Text values are patterns: `*` stands for any run of characters, everything else for itself.
 */
export interface FlowFilter extends Readonly<Partial<Record<FlowTextFieldName, readonly string[]>>> {
  readonly status?: readonly number[];
  /** Source address, and port when given. */
  readonly peer?: { readonly ip: string; readonly port?: number };
  /** Inclusive, microseconds since the epoch. */
  readonly sinceMicros?: number;
  /** Exclusive, microseconds since the epoch. */
  readonly untilMicros?: number;
}

/** One flag of the command line. */
export interface FlowFilterFlag {
  readonly name: string;
  readonly value: string;
  readonly help: string;
}

/** Every flag, for `--help`. */
export const FLOW_FILTER_FLAGS: readonly FlowFilterFlag[] = [
  ...FLOW_TEXT_FIELDS.map(({ name, value, help }) => ({ name, value, help })),
  { name: "status", value: "CODE", help: "HTTP status, several by comma" },
  { name: "peer", value: "IP[:PORT]", help: "address the connection came from; IPv6 with port as [::1]:443" },
  { name: "since", value: "TIME", help: "from then on: 5m, 1h30m, or an RFC 3339 time" },
  { name: "until", value: "TIME", help: "before then: 5m (ago), or an RFC 3339 time" },
];

export type ParsedFlowFilter =
  | { readonly ok: true; readonly filter: FlowFilter }
  | { readonly ok: false; readonly errors: readonly [string, ...string[]] };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Parse {
  readonly filter: Mutable<FlowFilter>;
  readonly errors: string[];
  readonly nowMicros: number;
}

const MAX_PATTERN_LENGTH = 1024;
/** SQLite's GLOB backtracks; this many stars stay quick on the longest path. */
const MAX_STARS = 6;
const ENUMS: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ["kind", FLOW_KINDS],
  ["verdict", FLOW_VERDICTS],
  ["direction", FLOW_DIRECTIONS],
]);

/** Parses `--from ns/name --verdict=deny …`. Repeated flags add values. All errors are told, each on a line of its own. */
export function parseFlowFilter(args: readonly string[], nowMs: number): ParsedFlowFilter {
  const options = new Map<string, string[]>();
  const errors: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(arg);
    if (match === null) {
      errors.push(`unexpected argument \`${arg}\`: filters are flags, as in \`--from team-a/app-a\``);
      continue;
    }
    const name = match[1] ?? "";
    const value = match[2] ?? args[++i];
    if (value === undefined) errors.push(`\`--${name}\` needs a value`);
    else options.set(name, [...(options.get(name) ?? []), value]);
  }
  return finish(options, errors, nowMs);
}

/** The same from parsed options (`{ from: "team-a/app-a", kind: ["request"] }`), as commander gives them. Undefined values are none. */
export function parseFlowFilterOptions(
  options: Readonly<Record<string, string | readonly string[] | undefined>>,
  nowMs: number,
): ParsedFlowFilter {
  const given = new Map<string, readonly string[]>();
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) given.set(name, typeof value === "string" ? [value] : value);
  }
  return finish(given, [], nowMs);
}

/** The filter as arguments: `parseFlowFilter(printFlowFilter(f))` is f again, for every filter that parsing gives. */
export function printFlowFilter(filter: FlowFilter): readonly string[] {
  const args: string[] = [];
  for (const { name, splitsAtComma } of FLOW_TEXT_FIELDS) {
    const values = filter[name] ?? [];
    if (splitsAtComma && values.length > 0) args.push(`--${name}`, values.join(","));
    else for (const value of values) args.push(`--${name}`, value);
  }
  if (filter.status !== undefined) args.push("--status", filter.status.join(","));
  if (filter.peer !== undefined) args.push("--peer", printPeer(filter.peer));
  if (filter.sinceMicros !== undefined) args.push("--since", microsRfc3339(filter.sinceMicros));
  if (filter.untilMicros !== undefined) args.push("--until", microsRfc3339(filter.untilMicros));
  return args;
}

function finish(
  options: ReadonlyMap<string, readonly string[]>,
  errors: string[],
  nowMs: number,
): ParsedFlowFilter {
  const parse: Parse = { filter: {}, errors, nowMicros: Math.round(nowMs * 1000) };
  for (const [name, values] of options) parseOption(parse, name, values);
  const { sinceMicros, untilMicros } = parse.filter;
  if (sinceMicros !== undefined && untilMicros !== undefined && sinceMicros >= untilMicros) {
    errors.push("`--since` is not before `--until`: no record can match");
  }
  const [first, ...rest] = errors;
  return first === undefined ? { ok: true, filter: parse.filter } : { ok: false, errors: [first, ...rest] };
}

function parseOption(parse: Parse, name: string, values: readonly string[]): void {
  const field = FLOW_TEXT_FIELDS.find((candidate) => candidate.name === name);
  const last = values.at(-1) ?? "";
  if (field !== undefined) parseText(parse, field, values);
  else if (name === "status") parseStatus(parse, values);
  else if (!FLOW_FILTER_FLAGS.some((flag) => flag.name === name)) parse.errors.push(unknownFilter(name));
  else if (values.length > 1) parse.errors.push(`\`--${name}\` may be given once`);
  else if (name === "peer") parsePeer(parse, last);
  else if (name === "since") parseTime(parse, name, "sinceMicros", last);
  else parseTime(parse, name, "untilMicros", last);
}

function unknownFilter(name: string): string {
  const names = FLOW_FILTER_FLAGS.map((flag) => flag.name);
  return `unknown filter \`--${name}\`${didYouMean(name, names, "--")}`;
}

function parseText(parse: Parse, field: (typeof FLOW_TEXT_FIELDS)[number], values: readonly string[]): void {
  const words = field.splitsAtComma ? values.flatMap((value) => value.split(",")) : values;
  const known = ENUMS.get(field.name);
  for (const word of words) {
    const problem = known === undefined ? patternProblem(word) : wordProblem(word, known);
    if (problem !== undefined) parse.errors.push(`\`--${field.name} ${word}\`: ${problem}`);
  }
  parse.filter[field.name] = [...new Set(words)];
}

function patternProblem(pattern: string): string | undefined {
  if (pattern === "") return "the value is empty";
  if (pattern.length > MAX_PATTERN_LENGTH) return `longer than ${MAX_PATTERN_LENGTH} characters`;
  if (pattern.split("*").length - 1 > MAX_STARS) return `more than ${MAX_STARS} stars`;
  return pattern.includes("\0") ? "contains a NUL character" : undefined;
}

function wordProblem(word: string, known: readonly string[]): string | undefined {
  return known.includes(word) ? undefined : `not one of ${known.join(", ")}${didYouMean(word, known, "")}`;
}

function didYouMean(word: string, known: readonly string[], prefix: string): string {
  const nearest = nearestWord(word, known);
  return nearest === undefined ? "" : `; did you mean \`${prefix}${nearest}\`?`;
}

function parseStatus(parse: Parse, values: readonly string[]): void {
  const codes = values.flatMap((value) => value.split(","));
  for (const code of codes) {
    if (!/^[1-9]\d\d$/.test(code)) parse.errors.push(`\`--status ${code}\`: not an HTTP status (100 to 999)`);
  }
  parse.filter.status = [...new Set(codes.map(Number))];
}

function parsePeer(parse: Parse, text: string): void {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const ip = match?.[1] ?? match?.[2] ?? text;
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (isIP(ip) === 0 || (port !== undefined && port > 65_535)) {
    parse.errors.push(
      `\`--peer ${text}\`: not an address, as in \`127.1.0.7\`, \`127.1.0.7:40312\` or \`[::1]:40312\``,
    );
    return;
  }
  parse.filter.peer = port === undefined ? { ip } : { ip, port };
}

function printPeer(peer: NonNullable<FlowFilter["peer"]>): string {
  const ip = peer.ip.includes(":") ? `[${peer.ip}]` : peer.ip;
  return peer.port === undefined ? ip : `${ip}:${peer.port}`;
}

function parseTime(parse: Parse, name: string, field: "sinceMicros" | "untilMicros", text: string): void {
  const ago = durationMicros(text);
  const micros = ago === undefined ? rfc3339Micros(text) : parse.nowMicros - ago;
  if (micros === undefined || micros < 0) {
    parse.errors.push(
      `\`--${name} ${text}\`: neither a duration (\`30s\`, \`5m\`, \`1h30m\`, \`2d\`) nor a time (\`2026-01-31T12:00:00Z\`)`,
    );
    return;
  }
  parse.filter[field] = micros;
}
