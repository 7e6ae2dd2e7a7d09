import { createPrivateKey, type KeyObject, randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** Group and others: no bit may be set on a key file, nor on its folder. */
const OTHERS = 0o077;
/** Far above any key or chain kept here. */
const MAX_FILE_BYTES = 1 << 20;
/** A temporary file this old was left by a process that was killed. */
const STALE_TEMPORARY_MS = 60_000;

/**
 * Makes a folder that only its owner can enter, or checks that it is one.
 * @throws {BulwarkError} BW_KEYSTORE_FOLDER_MODE, BW_KEYSTORE_IO.
 */
export function ensurePrivateFolder(folder: string): void {
  attempt(`cannot make the folder ${folder}`, () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { mode } = statSync(folder);
    if ((mode & OTHERS) === 0) return;
    throw new BulwarkError(
      "BW_KEYSTORE_FOLDER_MODE",
      `${folder} can be entered by others (mode ${octal(mode)}); mend it with: chmod 700 ${folder}`,
      { detail: { folder, mode: octal(mode) } },
    );
  });
}

export interface WritePrivateFileOptions {
  /** Fail, and change nothing, when the file is there already. */
  readonly exclusive?: boolean;
  /** Whole after a kill, but perhaps torn or of before after a power cut: for what then means nothing any more, at a fraction of the cost. */
  readonly outlivesPowerCut?: false;
}

/**
 * Writes a file of mode 0600 so that a kill or a power cut at any moment leaves the old content or the new, whole.
 * @returns false when `exclusive` was asked for and the file is there already.
 * @throws {BulwarkError} BW_KEYSTORE_IO, when the old content still stands.
 */
export function writePrivateFile(
  path: string,
  data: string | Buffer,
  options: WritePrivateFileOptions = {},
): boolean {
  return attempt(`cannot write ${path}`, () => {
    const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}.tmp`);
    try {
      const isLasting = options.outlivesPowerCut !== false;
      write(temporary, data, isLasting);
      const placed = options.exclusive === true ? linkIfAbsent(temporary, path) : renameOver(temporary, path);
      if (isLasting) syncFolder(dirname(path));
      return placed;
    } finally {
      rmSync(temporary, { force: true });
    }
  });
}

/**
 * The content of a file that only its owner may read.
 * @returns undefined when there is no such file.
 * @throws {BulwarkError} BW_KEYSTORE_FILE_MODE when others may read or change it, BW_KEYSTORE_IO.
 */
export function readPrivateFile(path: string): string | undefined {
  return attempt(`cannot read ${path}`, () => {
    const file = openIfPresent(path);
    if (file === undefined) return undefined;
    try {
      // Asked of the open file, not of the path, so that what is checked is what is read.
      const { mode, size } = fstatSync(file);
      refuseOpenMode(path, mode);
      if (size > MAX_FILE_BYTES)
        throw new BulwarkError("BW_KEYSTORE_IO", `${path} is too large to be what it should`);
      return readFileSync(file, "utf8");
    } finally {
      closeSync(file);
    }
  });
}

/**
 * A private key from a PKCS#8 PEM file of mode 0600.
 * @returns undefined when there is no such file.
 * @throws {BulwarkError} BW_KEYSTORE_BAD_KEY, and those of {@link readPrivateFile}.
 */
export function readPrivateKey(path: string): KeyObject | undefined {
  const pem = readPrivateFile(path);
  if (pem === undefined) return undefined;
  try {
    return createPrivateKey(pem);
  } catch {
    // Without its cause: OpenSSL's message may quote what it read.
    throw new BulwarkError("BW_KEYSTORE_BAD_KEY", `${path} holds no private key; restore it from a backup`);
  }
}

/** Writes a private key as PKCS#8 PEM, mode 0600, as {@link writePrivateFile} does. */
export function writePrivateKey(
  path: string,
  key: KeyObject,
  options: WritePrivateFileOptions = {},
): boolean {
  return writePrivateFile(path, key.export({ type: "pkcs8", format: "pem" }), options);
}

/** Refuses a key file that others may read, without reading it. Absent files pass. @throws {BulwarkError} BW_KEYSTORE_FILE_MODE */
export function checkPrivateFileMode(path: string): void {
  attempt(`cannot read ${path}`, () => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined) refuseOpenMode(path, stat.mode);
  });
}

/** Removes a file so that it stays removed after a power cut. Absent files are removed already. @throws {BulwarkError} BW_KEYSTORE_IO */
export function removePrivateFile(path: string): void {
  attempt(`cannot remove ${path}`, () => {
    rmSync(path, { force: true });
    syncFolder(dirname(path));
  });
}

/** Removes temporary files that a killed process left behind: they may hold keys. */
export function removeStaleTemporaries(folder: string): void {
  attempt(`cannot clean ${folder}`, () => {
    for (const name of readdirSync(folder)) {
      if (!name.startsWith(".") || !name.endsWith(".tmp")) continue;
      const stat = statSync(join(folder, name), { throwIfNoEntry: false });
      if (stat && Date.now() - stat.mtimeMs > STALE_TEMPORARY_MS) rmSync(join(folder, name), { force: true });
    }
  });
}

function write(path: string, data: string | Buffer, isLasting: boolean): void {
  const file = openSync(path, "wx", 0o600);
  try {
    // The umask may only take bits away, but a folder's default ACL may add some.
    fchmodSync(file, 0o600);
    writeFileSync(file, data);
    if (isLasting) fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function renameOver(temporary: string, path: string): true {
  renameSync(temporary, path);
  return true;
}

/** A hard link fails when its name is taken, which makes "create if absent" one step even between processes. */
function linkIfAbsent(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** A rename is on the disk only once its folder is. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function openIfPresent(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function refuseOpenMode(path: string, mode: number): void {
  if ((mode & OTHERS) === 0) return;
  throw new BulwarkError(
    "BW_KEYSTORE_FILE_MODE",
    `${path} can be read or changed by others (mode ${octal(mode)}); mend it with: chmod 600 ${path}, and replace its key if others may have read it`,
    { detail: { path, mode: octal(mode) } },
  );
}

function attempt<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof BulwarkError) throw error;
    const reason = errorCode(error) ?? "unknown error";
    throw new BulwarkError("BW_KEYSTORE_IO", `${what}: ${reason}`, { cause: error, detail: { reason } });
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
