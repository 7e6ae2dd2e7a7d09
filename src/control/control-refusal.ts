import { rmSync } from "node:fs";
import { join } from "node:path";
import { readPrivateFile, writePrivateFile } from "../identity/key-store.ts";
import { BulwarkError, type BulwarkErrorCode } from "../resources/bulwark-error.ts";
import { operationalCode } from "./operational-error.ts";
import type { StateFolder } from "./state-folder.ts";

/** EX_CONFIG of sysexits.h: a start that another try cannot mend. */
export const CONTROL_REFUSED_EXIT = 78;

/** What another try can mend: the store is held by a process that is about to end, or a database comes up later. */
const PASSING: ReadonlySet<string> = new Set(["BW_CA_STORE_BUSY", "BW_CA_STORE_UNAVAILABLE"]);

/**
 * Leaves word of why the control plane cannot start, for the `up` that waits for it.
 * @returns false where the error is a bug, or passes: the control plane is to be tried again.
 */
export function leaveRefusal(state: StateFolder, error: unknown): boolean {
  const code = operationalCode(error);
  if (code === undefined || PASSING.has(code) || !(error instanceof Error)) return false;
  try {
    writePrivateFile(fileOf(state), JSON.stringify({ code, message: error.message }));
  } catch {
    // A full disk: the exit code alone still tells, and the log says the rest.
  }
  return true;
}

/** Why the control plane refused to start; takes the word away. */
export function takeRefusal(state: StateFolder): BulwarkError {
  try {
    const { code, message } = JSON.parse(readPrivateFile(fileOf(state)) ?? "") as RefusalFile;
    return new BulwarkError(code, message);
  } catch {
    return new BulwarkError("BW_STATE_UNUSABLE", "the control plane cannot start: see logs/control.log");
  } finally {
    forgetRefusal(state);
  }
}

export function forgetRefusal(state: StateFolder): void {
  rmSync(fileOf(state), { force: true });
}

interface RefusalFile {
  readonly code: BulwarkErrorCode;
  readonly message: string;
}

function fileOf({ root }: StateFolder): string {
  return join(root, "control-refusal.json");
}
