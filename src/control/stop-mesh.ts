import { rmSync } from "node:fs";
import { removeNetwork } from "./netns/pod-network.ts";
import { isRunning, signalProcess } from "./process-identity.ts";
import { readRunBook, removeRunBook, stopLeftovers } from "./run-book.ts";
import { removeSocketFolder, type StateFolder } from "./state-folder.ts";

/** Longer than a supervisor takes when every child has to be killed. */
const SUPERVISOR_GRACE_MS = 20_000;

/**
 * Stops the mesh of a state folder: through its supervisor while that lives, else whatever it left running.
 * @returns the names of what was stopped; empty when nothing ran.
 */
export async function stopMesh(state: StateFolder): Promise<readonly string[]> {
  const book = readRunBook(state);
  if (book === undefined) return await removeNetwork(state);
  const names = book.children.filter(isRunning).map(({ name }) => name);
  if (signalProcess(book.supervisor, "SIGTERM")) {
    const deadline = performance.now() + SUPERVISOR_GRACE_MS;
    while (isRunning(book.supervisor) && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));
    signalProcess(book.supervisor, "SIGKILL");
    names.push("up");
  }
  await stopLeftovers(readRunBook(state) ?? book);
  const namespaces = await removeNetwork(state);
  removeRunBook(state);
  rmSync(state.lock, { force: true });
  removeSocketFolder(state);
  return [...names, ...namespaces];
}
