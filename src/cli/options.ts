/** Options that several commands have, read in one way. */
import { InvalidArgumentError, Option } from "commander";
import { defaultStatePath, type StateFolder, stateFolderAt } from "../control/state-folder.ts";
import { MAX_TTL_SECONDS } from "../identity/ca.ts";
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

/** `10s`, `1h30m` as milliseconds. */
export function parseDuration(text: string): number {
  const ms = durationMs(text);
  if (ms === undefined || ms <= 0) throw new InvalidArgumentError("Write it as in 10s, 5m or 24h.");
  return ms;
}

/** Certificates that live shorter would end before they could be renewed. */
const MIN_CERTIFICATE_MS = 2000;

/** As {@link parseDuration}, in milliseconds: two seconds to what the CA signs at most. */
export function parseCertificateLifetime(text: string): number {
  const ms = parseDuration(text);
  if (ms < MIN_CERTIFICATE_MS) throw new InvalidArgumentError("Certificates live 2s at least.");
  if (ms > MAX_TTL_SECONDS * 1000)
    throw new InvalidArgumentError(`Certificates live ${MAX_TTL_SECONDS / 86_400}d at most.`);
  return ms;
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
