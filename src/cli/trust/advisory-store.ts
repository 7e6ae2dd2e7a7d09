/**
 * The advisories that an audit goes by: those that Bulwark ships, or newer ones that `audit --update FILE` has stored for this user.
 *
 * A file is checked for its form, its day, and that it leaves out none of what is known. Nothing signs it: who can write it, or the
 * folder, decides which versions look sound. `--update` prints its SHA-256, to be compared with that of whoever it is from.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type AdvisoryData, parseAdvisories } from "../../analysis/trust/advisories/advisory.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";

const SHIPPED = resolve(import.meta.dirname, "../../../data/advisories.json");
const FILE = "advisories.json";
const BYTES_MAX = 32 * 1024 * 1024;
const DAY_MS = 86_400_000;

export interface StoredAdvisories {
  readonly data: AdvisoryData;
  readonly file: string;
  /** Why the user's own file is not used, where there is one. */
  readonly refused?: string;
}

export interface AdvisoryUpdate {
  readonly file: string;
  readonly date: string;
  /** The day of what it replaces. */
  readonly replaced: string;
  readonly advisories: number;
  /** Hex, of the file as it was given. */
  readonly sha256: string;
}

/** `$XDG_DATA_HOME/bulwark`, or what that stands for. */
export function advisoryFolder(env: NodeJS.ProcessEnv = process.env): string {
  const data = env.XDG_DATA_HOME;
  return join(data?.startsWith("/") ? data : join(homedir(), ".local", "share"), "bulwark");
}

/** The newer of the shipped and the stored advisories. A stored file that is not valid is not used, and that is said. */
export function currentAdvisories(folder: string = advisoryFolder()): StoredAdvisories {
  const shipped = { data: read(SHIPPED).data, file: SHIPPED };
  const file = join(folder, FILE);
  try {
    const { data } = read(file);
    return data.date >= shipped.data.date ? { data, file } : shipped;
  } catch (error) {
    if (isAbsent(error)) return shipped;
    return { ...shipped, refused: (error as Error).message };
  }
}

/**
 * Stores newer advisories, whole or not at all.
 * @param now milliseconds since the epoch
 * @throws {BulwarkError} BW_CLI_INPUT when the file is not valid, is dated tomorrow or later, or, unless forced, is older than what is there or leaves out some of it
 */
export function updateAdvisories(
  file: string,
  { folder = advisoryFolder(), force = false, now }: { folder?: string; force?: boolean; now: number },
): AdvisoryUpdate {
  const { data, bytes } = readGiven(file);
  if (Date.parse(data.date) > now + DAY_MS)
    throw new BulwarkError("BW_CLI_INPUT", `${file} is dated ${data.date}, which is yet to come`);
  const present = currentAdvisories(folder).data;
  if (!force) checkFollows(file, data, present);
  const target = join(folder, FILE);
  writeWhole(folder, target, bytes);
  return {
    file: target,
    date: data.date,
    replaced: present.date,
    advisories: data.advisories.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

function checkFollows(file: string, data: AdvisoryData, present: AdvisoryData): void {
  if (data.date < present.date)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${file} is of ${data.date}, older than the present ${present.date}: give --force to go back`,
    );
  const ids = new Set(data.advisories.map(({ id }) => id));
  const missing = present.advisories.filter(({ id }) => !ids.has(id));
  if (missing.length > 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${file} leaves out ${missing.length} advisories that are known (${missing[0]?.id}, …): give --force if that is meant`,
    );
}

function readGiven(file: string): { data: AdvisoryData; bytes: Buffer } {
  try {
    return read(file);
  } catch (error) {
    if (error instanceof BulwarkError) throw error;
    throw new BulwarkError("BW_CLI_INPUT", `${file} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function read(file: string): { data: AdvisoryData; bytes: Buffer } {
  if (statSync(file).size > BYTES_MAX)
    throw new BulwarkError("BW_CLI_INPUT", `${file} is larger than ${BYTES_MAX} bytes`);
  const bytes = readFileSync(file);
  const parsed = parseAdvisories(parseJson(file, bytes));
  if (parsed.ok) return { data: parsed.data, bytes };
  throw new BulwarkError("BW_CLI_INPUT", `${file} is no file of advisories: ${parsed.problems.join("; ")}`);
}

function parseJson(file: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new BulwarkError("BW_CLI_INPUT", `${file} is no JSON`, { cause: error });
  }
}

function writeWhole(folder: string, target: string, bytes: Buffer): void {
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const handle = openSync(temporary, "wx", 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `advisories cannot be stored in ${folder}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function isAbsent(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOENT" || code === "ENOTDIR";
}
