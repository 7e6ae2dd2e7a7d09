/** Options that several commands have, read in one way. */
import { InvalidArgumentError, Option } from "commander";
import { defaultStatePath, type StateFolder, stateFolderAt } from "../control/state-folder.ts";
import { MAX_TTL_SECONDS, MIN_TTL_SECONDS } from "../identity/ca.ts";
import { durationMs } from "../model/mesh-config.ts";

export function stateOption(): Option {
  return new Option(
    "--state <dir>",
    "folder with the mesh's state (default: $BULWARK_STATE, or .bulwark here)",
  );
}

export function formatOption(): Option {
  return new Option("--format <format>", "how to print").choices(["text", "json"]).default("text");
}

export interface StateOptions {
  readonly state?: string;
}

export function stateOf(options: StateOptions): StateFolder {
  return stateFolderAt(options.state ?? defaultStatePath());
}

/** `10s`, `1h30m`, `90d` as milliseconds: Go's durations, and days, which those lack. */
export function parseDuration(text: string): number {
  const [, days = "0", rest = ""] = /^(?:(\d{1,6})d)?(.*)$/s.exec(text) ?? [];
  const ms = Number(days) * DAY_MS + (rest === "" ? 0 : (durationMs(rest) ?? Number.NaN));
  if (!(ms > 0)) throw new InvalidArgumentError("Write it as in 10s, 5m, 24h or 90d.");
  return ms;
}

const DAY_MS = 86_400_000;

/** Certificates that live shorter would end before they could be renewed. */
const MIN_CERTIFICATE_MS = MIN_TTL_SECONDS * 1000;
/** An intermediate's life: no certificate outlives the one that signs it. */
const MAX_CERTIFICATE_MS = 365 * DAY_MS;

/** As {@link parseDuration}, in milliseconds: two seconds to what the CA signs at most unless it is told otherwise. */
export function parseCertificateLifetime(text: string): number {
  return lifetimeUpTo(text, MAX_TTL_SECONDS * 1000);
}

/** As {@link parseDuration}, in milliseconds: two seconds to a year. */
export function parseMaxLifetime(text: string): number {
  return lifetimeUpTo(text, MAX_CERTIFICATE_MS);
}

function lifetimeUpTo(text: string, mostMs: number): number {
  const ms = parseDuration(text);
  if (ms < MIN_CERTIFICATE_MS || ms > mostMs) {
    const range = `from ${lifetimeText(MIN_CERTIFICATE_MS)} to ${lifetimeText(mostMs)}`;
    throw new InvalidArgumentError(`Certificates live ${range}.`);
  }
  return ms;
}

/** Milliseconds as they can be written: `90d`, `36h`, `90s`. */
export function lifetimeText(ms: number): string {
  for (const [unitMs, unit] of [
    [DAY_MS, "d"],
    [3_600_000, "h"],
    [60_000, "m"],
  ] as const)
    if (ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  return `${ms / 1000}s`;
}

/** Control's word goes out a few times in that time; on a busy machine a process may well pause for longer than a fraction of less. */
const MIN_SILENCE_MS = 2000;

/** As {@link parseDuration}, in milliseconds: how long control may be silent. */
export function parseSilence(text: string): number {
  const ms = parseDuration(text);
  if (ms < MIN_SILENCE_MS)
    throw new InvalidArgumentError("Write 2s at least: a shorter pause of control is nothing unusual.");
  return ms;
}

/** `127.0.0.1:8086`. */
export function parseLoopback(text: string): { readonly host: string; readonly port: number } {
  const [, host = "", port = ""] = /^(127(?:\.\d{1,3}){3}|\[::1\]):(\d{1,5})$/.exec(text) ?? [];
  if (host === "" || Number(port) > 65_535 || Number(port) === 0)
    throw new InvalidArgumentError("Write a loopback address with a port, as in 127.0.0.1:8086.");
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** Reads a whole number from `least` to `most`. */
export function parseCount(least: number, most: number): (text: string) => number {
  return (text) => {
    const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (count >= least && count <= most) return count;
    throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`);
  };
}

export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Examples at the end of a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join("")}`;
}
