import { appendFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ConfigurationChange } from "./configuration-change.ts";
import type { StateFolder } from "./state-folder.ts";

/** Beyond it the journal begins anew, and the one before is kept beside it. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Every change that was ever taken, one JSON object a line, for whoever asks later since when access is as it is. */
export function changeJournal(state: StateFolder): string {
  return join(state.logFolder, "changes.jsonl");
}

/** @throws when it cannot be written. */
export function recordChange(state: StateFolder, change: ConfigurationChange): void {
  const file = changeJournal(state);
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) renameSync(file, `${file}.1`);
  appendFileSync(file, `${JSON.stringify(change)}\n`, { mode: 0o600 });
}
