import { EXIT } from "./exit-code.ts";

let react: (() => void) | undefined;
let isVerdictKept = false;

/** Watches for the reader of our output (`head`, a pager, a closed terminal) going away, which is no failure, and for a disk that is full. */
export function watchOutput(): void {
  process.stdout.on("error", (error) => onError("standard output", error));
  process.stderr.on("error", (error) => onError("standard error", error));
}

/** What to do then, instead of ending at once: a command that has started others must stop them first. */
export function whenReaderGone(reaction: () => void): void {
  react = reaction;
}

/** For a command whose exit code says what it found: without a reader it goes on to that, so that `verify … | head` is never taken for a proof. */
export function keepVerdict(): void {
  isVerdictKept = true;
}

function onError(what: string, error: NodeJS.ErrnoException): void {
  const isGone = error.code === "EPIPE" || error.code === "EIO";
  if (!isGone && what === "standard output") {
    process.stderr.write(`bulwark: ${what} cannot be written: ${error.code ?? error.message}\n`);
  }
  if (isGone && isVerdictKept) return;
  if (react === undefined) process.exit(isGone ? EXIT.ok : EXIT.failed);
  react();
}
