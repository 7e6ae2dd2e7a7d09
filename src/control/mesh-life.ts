import type { StatusReport } from "./messages.ts";
import { readRunBook } from "./run-book.ts";
import type { StateFolder } from "./state-folder.ts";

/** Since when a mesh runs, and its control plane: the book knows what a control plane that was started again cannot. */
export function lifeOf(
  state: StateFolder,
  controlStartedAt: string,
): Pick<StatusReport, "startedAt" | "control"> {
  const book = readRunBook(state);
  const own = book?.children.find(({ pid }) => pid === process.pid);
  return {
    startedAt: book?.startedAt || controlStartedAt,
    control: { startedAt: controlStartedAt, restarts: own?.restarts ?? 0 },
  };
}
