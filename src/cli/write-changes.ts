/** Resources into a folder, all of them or none: whoever finds the folder can apply it. */
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { manifestYaml, type ResourceChange } from "../analysis/tighten/manifest.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** In the order in which they are to be applied, so that nothing is refused in between that is let through at the end. */
const FOLDERS = { add: "1-add", replace: "2-replace", delete: "3-delete" } as const;

/** What is wrong with the name that was given, rather than with the machine. */
const BAD_PLACE: ReadonlySet<unknown> = new Set([
  "EACCES",
  "EBUSY",
  "EEXIST",
  "EISDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "ENOTEMPTY",
  "EPERM",
  "EROFS",
]);

/**
 * Asked before the work, so that nobody waits for what cannot be written.
 * @throws {BulwarkError} BW_CLI_INPUT where the folder holds something already, or cannot be made.
 */
export function checkOutFolder(folder: string): void {
  const entries = attempt(folder, () => (isThere(folder) ? readdirSync(folder) : []));
  if (entries.length > 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `\`${folder}\` is not empty: name a new folder, so that nothing of another run stays in it`,
    );
  attempt(folder, () => accessSync(existingAbove(placeOf(folder)), constants.W_OK | constants.X_OK));
}

/** As `fs.writeFileSync`, for a file that is not there yet. */
export type WriteFile = (path: string, text: string) => void;

/** Durable before the folder has its name: a crash after that leaves no empty files in it. */
const writeDurably: WriteFile = (path, text) => writeFileSync(path, text, { flag: "wx", flush: true });

/**
 * A file for each resource, under a name of its own beside the folder until all are there.
 * @throws {BulwarkError} BW_CLI_INPUT where the place is wrong, BW_CLI_OUTPUT where the machine fails: nothing is left then
 */
export function writeChanges(
  folder: string,
  changes: readonly ResourceChange[],
  write: WriteFile = writeDurably,
): void {
  if (changes.length === 0) return;
  attempt(folder, () => {
    const place = placeOf(folder);
    mkdirSync(dirname(place), { recursive: true });
    const staging = mkdtempSync(join(dirname(place), `.${basename(place).slice(0, 200)}.unfinished-`));
    try {
      // Temporary folders are their owner's alone: what is in them has the usual mode.
      const whole = join(staging, "whole");
      writeInto(whole, changes, write);
      // Takes the place of an empty folder, and of no other.
      renameSync(whole, place);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  });
}

function writeInto(staging: string, changes: readonly ResourceChange[], write: WriteFile): void {
  for (const [at, { action, manifest }] of changes.entries()) {
    const { kind, metadata } = manifest;
    const under = join(staging, FOLDERS[action]);
    const name = [kind.toLowerCase(), metadata.namespace, metadata.name]
      .join("-")
      .slice(0, 200)
      .replace(/[^a-z0-9.-]/g, "-");
    mkdirSync(under, { recursive: true });
    // Two names may be alike once they are a file's.
    write(join(under, `${name}-${at}.yaml`), manifestYaml(manifest));
  }
}

/** Where links lead: what is renamed takes the place of the folder, not of the link. */
function placeOf(folder: string): string {
  return isThere(folder) ? realpathSync(folder) : resolve(folder);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function existingAbove(place: string): string {
  const above = dirname(place);
  return isThere(above) || above === place ? above : existingAbove(above);
}

function attempt<T>(folder: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === undefined) throw cause;
    throw new BulwarkError(
      BAD_PLACE.has(code) ? "BW_CLI_INPUT" : "BW_CLI_OUTPUT",
      `\`${folder}\` cannot be written, and nothing was: ${REASONS[code] ?? message}`,
      { cause },
    );
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "no permission (EACCES)",
  EBUSY: "it is a mount point, which nothing can take the place of: name a new folder in it (EBUSY)",
  EDQUOT: "the quota is used up (EDQUOT)",
  EEXIST: "something was put there in the meantime (EEXIST)",
  ENOSPC: "the disk is full (ENOSPC)",
  ENOTDIR: "it is no folder, or is to be in what is none (ENOTDIR)",
  ENOTEMPTY: "something was put there in the meantime (ENOTEMPTY)",
  EROFS: "the file system is read-only (EROFS)",
};
