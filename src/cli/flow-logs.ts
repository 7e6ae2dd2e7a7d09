/** Logs of traffic as `tighten` reads them: files of JSON lines, or the flow log of a mesh's state folder. */
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { type MalformedRecord, malformed, type Reading } from "../analysis/tighten/flow-reading.ts";
import type { IdGaps } from "../analysis/tighten/id-gaps.ts";
import { readBulwarkFlow } from "../analysis/tighten/read-bulwark-flow.ts";
import { readEnvoyLog } from "../analysis/tighten/read-envoy-log.ts";
import { readHubbleFlow } from "../analysis/tighten/read-hubble-flow.ts";
import { readZtunnelLog } from "../analysis/tighten/read-ztunnel-log.ts";
import type { WorkloadNames } from "../analysis/tighten/workload-names.ts";
import { stateFolderAt } from "../control/state-folder.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { decodeFlow } from "../telemetry/flow-decode.ts";
import { storedFlowLines } from "../telemetry/stored-flow-lines.ts";
import { type FileLine, readLines } from "./read-lines.ts";

/** What a command line names. */
export interface FlowLogOptions {
  readonly flows?: readonly string[];
  readonly envoy?: readonly string[];
  readonly hubble?: readonly string[];
  readonly ztunnel?: readonly string[];
  readonly trustAddresses?: boolean;
}

/** A log that can be read again and again. */
export interface FlowLog {
  readonly path: string;
  lines(): Iterable<FileLine>;
  read(line: string): Reading;
}

export interface MalformedLine {
  /** `file:line` */
  readonly at: string;
  readonly why: string;
}

/** @throws {BulwarkError} BW_CLI_INPUT */
export function flowLogs(options: FlowLogOptions, names: WorkloadNames, gaps: IdGaps): readonly FlowLog[] {
  const logs = [
    ...(options.flows ?? []).map((path) => bulwarkLog(path, names, gaps)),
    ...(options.envoy ?? []).map((named) => envoyLog(named, options.trustAddresses === true, names)),
    ...(options.hubble ?? []).map((path) => fileLog(path, (value) => readHubbleFlow(value, names))),
    ...(options.ztunnel ?? []).map((path) => ztunnelLog(path, names)),
  ];
  if (logs.length > 0) return logs;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    "there is no log to read: name one with --flows, --envoy, --hubble or --ztunnel",
  );
}

/** How far each log was read: a log that grows is asked again about the same records. */
export type ReadUntil = Map<FlowLog, number>;

/**
 * Every record of the logs.
 * @param until filled where it says nothing of a log, else the bound.
 * @param onMalformed told of each that is none.
 * @throws {BulwarkError} BW_CLI_INPUT where a log has lost lines since it was read before
 */
export function* readings(
  logs: readonly FlowLog[],
  until: ReadUntil,
  onMalformed: (line: MalformedLine) => void,
): Generator<Exclude<Reading, MalformedRecord>> {
  for (const log of logs) {
    const bound = until.get(log) ?? Number.POSITIVE_INFINITY;
    let last = 0;
    for (const { number, text } of log.lines()) {
      if (number > bound) break;
      last = number;
      const reading = text === undefined ? malformed("it is too long, or no UTF-8") : log.read(text);
      if (reading.kind === "malformed") onMalformed({ at: `${log.path}:${number}`, why: reading.why });
      else yield reading;
    }
    if (Number.isFinite(bound) && last < bound)
      throw new BulwarkError(
        "BW_CLI_INPUT",
        `\`${log.path}\` is shorter than it was a moment ago: what is proposed could not be asked about all of it`,
      );
    until.set(log, last);
  }
}

function bulwarkLog(path: string, names: WorkloadNames, gaps: IdGaps): FlowLog {
  const read = (line: string): Reading => {
    const record = decodeFlow(line);
    if (record === undefined) return malformed("it is no flow record");
    gaps.add(record.id);
    return readBulwarkFlow(record, names);
  };
  if (!isFolder(path)) return { path: existing(path), lines: () => readLines(path), read };
  const { flowLog } = stateFolderAt(path);
  if (!existsSync(flowLog))
    throw new BulwarkError("BW_CLI_INPUT", `\`${path}\` is no state folder: it has no flow log`);
  return { path: flowLog, lines: () => storedFlowLines(flowLog), read };
}

/** `shop/web=web.log`: whose proxy wrote it; a path alone, where the log itself tells. */
function envoyLog(named: string, trustAddresses: boolean, names: WorkloadNames): FlowLog {
  const [, reporter, rest] = /^([a-z0-9.-]+\/[a-z0-9.-]+)=(.+)$/s.exec(named) ?? [];
  if (reporter !== undefined && names.byKey(reporter) === undefined)
    throw new BulwarkError("BW_CLI_INPUT", `the mesh has no workload \`${reporter}\``);
  const options = { trustAddresses, ...(reporter === undefined ? {} : { reporter }) };
  return fileLog(rest ?? named, (value) => readEnvoyLog(value, names, options));
}

function ztunnelLog(path: string, names: WorkloadNames): FlowLog {
  return { path: existing(path), lines: () => readLines(path), read: (line) => readZtunnelLog(line, names) };
}

function fileLog(path: string, read: (value: unknown) => Reading): FlowLog {
  return { path: existing(path), lines: () => readLines(path), read: (line) => parsed(line, read) };
}

function parsed(line: string, read: (value: unknown) => Reading): Reading {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return malformed("it is no JSON");
  }
  return read(value);
}

/** Logs are read twice, the second time to be asked of what is proposed: a pipe would have nothing left by then. */
function existing(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory())
    throw new BulwarkError("BW_CLI_INPUT", `there is no file \`${path}\``);
  if (!found.isFile())
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `\`${path}\` is no file but a pipe or a device: logs are read twice, so write it into a file first`,
    );
  if (isGzip(path))
    throw new BulwarkError("BW_CLI_INPUT", `\`${path}\` is packed (gzip): unpack it into a file first`);
  return path;
}

/** RFC 1952 §2.3.1. */
function isGzip(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const magic = Buffer.alloc(2);
    return readSync(file, magic, 0, 2, 0) === 2 && magic.readUInt16BE() === 0x1f8b;
  } finally {
    closeSync(file);
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
