import { isRunning } from "./process-identity.ts";
import { readRunBook } from "./run-book.ts";
import type { StateFolder } from "./state-folder.ts";

/** How often a child looks whether it is still booked. */
const CHECK_MS = 5000;
/** From a child's start to the latest moment at which its supervisor has booked it. */
const GRACE_MS = 10_000;
const STOP_TIMEOUT_MS = 4000;

/**
 * Gives a child process its end: in order when it is asked (SIGTERM), and by itself when it stands in no run book any more,
 * so that no process outlives its state folder, nor a supervisor that was killed before it could book it. A dead supervisor
 * alone is no reason to end: the mesh goes on without it.
 */
export function liveAsChild(state: StateFolder, close: () => Promise<void>): void {
  const bornAt = performance.now();
  let ending = false;
  const end = (code: number) => {
    if (ending) return;
    ending = true;
    setTimeout(() => process.exit(code), STOP_TIMEOUT_MS).unref();
    close().then(
      () => process.exit(code),
      (error) => {
        warn(`closing failed: ${error instanceof Error ? error.message : String(error)}`);
        process.exit(1);
      },
    );
  };
  // Its log is a file; if even that cannot be written there is nowhere left to complain.
  process.stderr.on("error", () => {});
  process.stdout.on("error", () => {});
  process.on("SIGTERM", () => end(0));
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  const supervisorPid = process.ppid;
  let missing = 0;
  const check = setInterval(() => {
    // A book that cannot be read may be a moment without file descriptors, as in a flood of connections: no reason to end
    // while the supervisor lives, nor after a single look.
    missing = isBooked(state) ? 0 : missing + 1;
    const orphaned = process.ppid !== supervisorPid;
    if (performance.now() - bornAt > GRACE_MS && orphaned && missing >= 2) end(0);
  }, CHECK_MS);
  check.unref();
}

function isBooked(state: StateFolder): boolean {
  const book = readRunBook(state);
  if (book === undefined) return false;
  if (book.children.some((child) => child.pid === process.pid && isRunning(child))) return true;
  // A supervisor whose disk is full cannot book the child that it has just started again; it has it all the same.
  return book.supervisor.pid === process.ppid && isRunning(book.supervisor);
}

/** A line in this process's log, which the supervisor shows. */
export function warn(message: string): void {
  process.stderr.write(`${message.replaceAll("\n", " ")}\n`);
}
