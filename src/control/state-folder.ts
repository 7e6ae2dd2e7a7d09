import { createHash } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** sun_path of a Unix socket, less its final NUL (unix(7)). macOS has 104 bytes; the lower bound serves both. */
const MAX_SOCKET_PATH_BYTES = 103;

/** Where everything that outlives a process is kept: one folder, 0700, files 0600. */
export interface StateFolder {
  readonly root: string;
  readonly caFolder: string;
  readonly tokenFolder: string;
  readonly standInFolder: string;
  readonly logFolder: string;
  readonly flowLog: string;
  /** The last configuration that was valid, whole. */
  readonly configuration: string;
  readonly assignments: string;
  /** The last good keys of each issuer. */
  readonly issuerKeys: string;
  readonly runBook: string;
  readonly lock: string;
  readonly adminToken: string;
  /** The control plane's Unix socket; under the temp folder when the state folder's own path is too long for one. */
  readonly controlSocket: string;
}

/** The folder that commands use when none is named: `$BULWARK_STATE`, else `.bulwark` where they run. */
export function defaultStatePath(): string {
  return process.env.BULWARK_STATE ?? ".bulwark";
}

/** Names everything in a state folder; touches nothing. */
export function stateFolderAt(path: string): StateFolder {
  const root = resolve(path);
  return {
    root,
    caFolder: join(root, "ca"),
    tokenFolder: join(root, "tokens"),
    standInFolder: join(root, "stand-ins"),
    logFolder: join(root, "logs"),
    flowLog: join(root, "flows.sqlite"),
    configuration: join(root, "configuration.json"),
    assignments: join(root, "assignments.json"),
    issuerKeys: join(root, "issuer-keys.json"),
    runBook: join(root, "run.json"),
    lock: join(root, "up.lock"),
    adminToken: join(root, "admin-token"),
    controlSocket: socketPath(root),
  };
}

/**
 * Makes the state folder and what is in it.
 * @throws {BulwarkError} BW_STATE_UNUSABLE when a folder cannot be made, or belongs to someone else.
 */
export function createStateFolder(path: string): StateFolder {
  const state = stateFolderAt(path);
  for (const folder of [state.root, state.tokenFolder, state.standInFolder, state.logFolder])
    privateFolder(folder);
  if (!state.controlSocket.startsWith(state.root)) privateFolder(resolve(state.controlSocket, ".."));
  return state;
}

/** Removes the folder of a socket that did not fit into the state folder. */
export function removeSocketFolder(state: StateFolder): void {
  rmSync(state.controlSocket, { force: true });
  if (!state.controlSocket.startsWith(state.root)) {
    rmSync(resolve(state.controlSocket, ".."), { recursive: true, force: true });
  }
}

/** The longest of the sockets' names, those of the Workload API: all sockets are in one place. */
const LONGEST_SOCKET = join("workloads", `${"0".repeat(16)}.sock`);

function socketPath(root: string): string {
  const own = join(root, "control.sock");
  if (Buffer.byteLength(join(root, LONGEST_SOCKET)) <= MAX_SOCKET_PATH_BYTES) return own;
  const name = createHash("sha256").update(root).digest("hex").slice(0, 16);
  return join(tmpdir(), `bulwark-${process.getuid?.() ?? 0}-${name}`, "control.sock");
}

function privateFolder(path: string): void {
  try {
    makeFolder(path);
    const found = lstatSync(path);
    // A name under a shared temp folder could have been made, or linked elsewhere, by another user first.
    if (!found.isDirectory() || (process.getuid !== undefined && found.uid !== process.getuid())) {
      throw new Error("it is not a folder of this user");
    }
    if ((found.mode & 0o077) !== 0) chmodSync(path, 0o700);
  } catch (cause) {
    throw stateUnusable(path, cause);
  }
}

/** BW_STATE_UNUSABLE: what the file system, or another's folder, does not let us do. */
export function stateUnusable(path: string, cause: unknown): BulwarkError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BulwarkError("BW_STATE_UNUSABLE", `the state folder \`${path}\` cannot be used: ${why}`, {
    cause,
  });
}

/**
 * A folder and those above it. Node's own (`recursive`) never returns where a folder that is there says ENOENT to a new entry,
 * as those of /proc do.
 */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    const above = dirname(path);
    if (code !== "ENOENT" || existsSync(above)) throw error;
    makeFolder(above);
    mkdirSync(path, { mode: 0o700 });
  }
}

/** The JSON in a file; undefined when it is absent or not JSON (a caller then does without, as at the first start). */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
