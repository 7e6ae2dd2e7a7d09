import { stat } from "node:fs/promises";

/** A look costs one system call; a change must decide within a second. */
const LOOK_MS = 100;

/**
 * Reads a file, and again whenever it is another: written, replaced, removed, or there again. One reading at a time.
 * Whoever relies on it is told of every change, also of one that falls into a reading.
 * @param read must not reject.
 * @returns once it has been read for the first time.
 */
export async function followFile(
  path: string,
  read: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let version = await versionOf(path);
  await read();
  const look = async (): Promise<void> => {
    const now = await versionOf(path);
    if (now !== version && !signal.aborted) {
      version = now;
      await read();
    }
    plan();
  };
  const plan = (): void => {
    if (signal.aborted) return;
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      void look();
    }, LOOK_MS);
    const stop = (): void => clearTimeout(timer);
    signal.addEventListener("abort", stop, { once: true });
  };
  plan();
}

async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unreadable";
  }
}
