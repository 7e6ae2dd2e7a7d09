import { rmSync, writeFileSync } from "node:fs";
import { writePrivateFile } from "../identity/key-store.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { identifyProcess, isRunning, type ProcessIdentity, signalProcess } from "./process-identity.ts";
import { readJson, type StateFolder, stateUnusable } from "./state-folder.ts";

export interface BookedProcess extends ProcessIdentity {
  readonly name: string;
  /** How often it was started again. */
  readonly restarts?: number;
}

/** What `up` has started: enough for a later command to find and stop it, and nothing else, after a crash. */
export interface RunBook {
  readonly supervisor: ProcessIdentity;
  /** When the mesh was brought up (RFC 3339). */
  readonly startedAt: string;
  readonly children: readonly BookedProcess[];
  /** The folders and files that the mesh was made from. */
  readonly sources: readonly string[];
}

/** The book in a state folder; undefined when nothing was started there. What is not an entry is left out. */
export function readRunBook(state: StateFolder): RunBook | undefined {
  const value = readJson(state.runBook);
  if (typeof value !== "object" || value === null) return undefined;
  const { supervisor, startedAt, children, sources } = value as Record<string, unknown>;
  if (!isIdentity(supervisor)) return undefined;
  return {
    supervisor,
    startedAt: typeof startedAt === "string" ? startedAt : "",
    children: Array.isArray(children) ? children.filter(isBooked) : [],
    sources: Array.isArray(sources) ? sources.filter((source) => typeof source === "string") : [],
  };
}

/** Written at each start of a process. A power cut ends all that it names: what is left of it then matters to nobody. */
export function writeRunBook(state: StateFolder, book: RunBook): void {
  writePrivateFile(state.runBook, `${JSON.stringify(book, undefined, 1)}\n`, { outlivesPowerCut: false });
}

export function removeRunBook(state: StateFolder): void {
  rmSync(state.runBook, { force: true });
}

/** The supervisor that runs on this state now. */
export function runningSupervisor(state: StateFolder): ProcessIdentity | undefined {
  const supervisor = readRunBook(state)?.supervisor;
  return supervisor !== undefined && isRunning(supervisor) ? supervisor : undefined;
}

/**
 * Takes the state folder for this process, so that two `up` cannot share it.
 * @returns gives it back.
 * @throws {BulwarkError} BW_STATE_IN_USE, naming the process that has it; BW_STATE_UNUSABLE where nothing can be written.
 */
export function lockState(state: StateFolder): () => void {
  const own = identifyProcess(process.pid);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(state.lock, JSON.stringify(own), { flag: "wx", mode: 0o600, flush: true });
      return () => rmSync(state.lock, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw stateUnusable(state.root, error);
    }
    const holder = readJson(state.lock);
    if (isIdentity(holder) && isRunning(holder)) throw stateInUse(state, holder.pid);
    rmSync(state.lock, { force: true });
  }
  throw stateInUse(state, undefined);
}

function stateInUse(state: StateFolder, pid: number | undefined): BulwarkError {
  const by = pid === undefined ? "another process" : `process ${pid}`;
  return new BulwarkError(
    "BW_STATE_IN_USE",
    `${by} already runs a mesh on ${state.root}; stop it (Ctrl-C there, or \`bulwark down\`), or name another folder with --state`,
    { detail: { pid } },
  );
}

/** How long a left-over process is given to end by itself before it is killed. */
const STOP_GRACE_MS = 3000;

/**
 * Ends every process of the book that is still the one that was booked, politely first, and waits until they are gone.
 * @returns the names of those that were still there.
 */
export async function stopLeftovers(book: RunBook, graceMs = STOP_GRACE_MS): Promise<readonly string[]> {
  const alive = book.children.filter((child) => signalProcess(child, "SIGTERM", true));
  await waitUntilGone(alive, graceMs);
  for (const child of alive) signalProcess(child, "SIGKILL", true);
  await waitUntilGone(alive, graceMs);
  return alive.map((child) => child.name);
}

async function waitUntilGone(processes: readonly ProcessIdentity[], timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (processes.some(isRunning) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== "object" || value === null) return false;
  const { pid, startTime } = value as Record<string, unknown>;
  // A pid of 0 or below, or of init, would signal whole groups of strangers.
  return Number.isInteger(pid) && (pid as number) > 1 && typeof startTime === "string";
}

function isBooked(value: unknown): value is BookedProcess {
  return isIdentity(value) && typeof (value as { name?: unknown }).name === "string";
}
