import type { FlowDestination, FlowRecord, FlowSource, FlowVerdict } from "../model/flow-record.ts";
import { describeRefusal } from "./correlate.ts";

export interface FlowLineOptions {
  /** ANSI colours; only when asked. */
  readonly colour?: boolean;
  /** Columns' widths, as {@link flowLineWidths} finds them; the defaults suit a stream. */
  readonly sourceWidth?: number;
  readonly destinationWidth?: number;
}

const VERDICT_COLOUR: Readonly<Record<FlowVerdict, string>> = { allow: "32", deny: "31", error: "33" };
const MAX_COLUMN_WIDTH = 44;

/**
 * One line for a terminal: time of day (UTC), verdict, kind, source → destination, what was asked, and for a refusal who refused and by
 * which policy and rule. Holds no control characters, whatever the record holds.
 */
export function formatFlowLine(record: FlowRecord, options: FlowLineOptions = {}): string {
  const verdict = record.verdict.toUpperCase().padEnd(5);
  const columns = [
    clean(record.time.slice(11, 23)),
    options.colour ? `\u001b[${VERDICT_COLOUR[record.verdict]}m${verdict}\u001b[0m` : verdict,
    clean(record.kind).padEnd(10),
    `${sourceName(record.source).padEnd(options.sourceWidth ?? 24)} → ${destinationName(record.destination).padEnd(options.destinationWidth ?? 32)}`,
    clean(asked(record)),
    record.verdict === "allow" ? "" : clean(describeRefusal(record)),
    record.shadow === undefined ? "" : `[${clean(record.shadow)}]`,
  ];
  return columns
    .filter((column) => column !== "")
    .join("  ")
    .trimEnd();
}

/** Widths in which the ends of these records line up. */
export function flowLineWidths(
  records: readonly FlowRecord[],
): Required<Pick<FlowLineOptions, "sourceWidth" | "destinationWidth">> {
  const widest = (names: readonly string[]): number =>
    Math.min(
      MAX_COLUMN_WIDTH,
      names.reduce((width, name) => Math.max(width, name.length), 0),
    );
  return {
    sourceWidth: widest(records.map((record) => sourceName(record.source))),
    destinationWidth: widest(records.map((record) => destinationName(record.destination))),
  };
}

/** One line of JSON Lines, as stored: for a record of the store its `json` is this already. */
export function formatFlowJson(record: FlowRecord): string {
  return JSON.stringify(record);
}

function sourceName(source: FlowSource | undefined): string {
  return clean(source?.workload ?? source?.principal ?? withPort(source?.ip, source?.port) ?? "?");
}

function destinationName(destination: FlowDestination | undefined): string {
  const { workload, host, service, ip, port } = destination ?? {};
  const name = workload ?? host ?? service ?? ip;
  // A host that a client claims by its server name or Host header proves nothing about the address that it dialled.
  const dialled = name === host && ip !== undefined && ip !== host ? ` at ${ip}` : "";
  return clean(`${withPort(name, port) ?? "?"}${dialled}`);
}

function withPort(host: string | undefined, port: number | undefined): string | undefined {
  if (host === undefined || port === undefined) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function asked(record: FlowRecord): string {
  const request = record.method === undefined ? undefined : `${record.method} ${record.path ?? ""}`.trim();
  const inner =
    record.innerSni === undefined || record.innerSni === record.sni ? "" : ` (inner ${record.innerSni})`;
  const sni =
    request === undefined && (record.sni !== undefined || inner !== "")
      ? `sni ${record.sni ?? "-"}${inner}`
      : undefined;
  const parts = [record.direction === "outbound" ? "out" : record.direction === "inbound" ? "in" : undefined];
  parts.push(request === undefined ? record.protocol : undefined, request, sni);
  if (record.status !== undefined) parts.push(String(record.status));
  if (record.bytesSent !== undefined || record.bytesReceived !== undefined) {
    parts.push(`${record.bytesSent ?? 0}↑ ${record.bytesReceived ?? 0}↓`);
  }
  if (record.durationMs !== undefined) parts.push(`${Number(record.durationMs.toFixed(1))} ms`);
  return parts.filter((part) => part !== undefined).join(" ");
}

/** C0, C1, delete, line and paragraph separators, zero-width and bidirectional controls: they would let a request write on the terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

function clean(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
