import { BulwarkError } from "../../resources/bulwark-error.ts";
import { type StoreFailureCode, storeError } from "./store-failure.ts";

/** Primary result codes, https://www.sqlite.org/rescode.html; `PATH` is the file. */
const MEANING: ReadonlyMap<number, readonly [StoreFailureCode, string]> = new Map([
  [5, ["BW_CA_STORE_BUSY", "another process holds the lock of PATH"]],
  [6, ["BW_CA_STORE_BUSY", "another connection holds the lock of PATH"]],
  [8, ["BW_CA_STORE_READ_ONLY", "PATH cannot be written: make it, its folder and its file system writable"]],
  [10, ["BW_CA_STORE_IO", "the disk failed under PATH"]],
  [11, ["BW_CA_STORE_DAMAGED", damage("is damaged")]],
  [13, ["BW_CA_STORE_FULL", "no room on the disk of PATH; nothing was changed: make room and try again"]],
  [14, ["BW_CA_STORE_READ_ONLY", "PATH cannot be opened: make it and its folder readable and writable"]],
  [26, ["BW_CA_STORE_DAMAGED", damage("is no SQLite database")]],
]);

/** A CA that forgot whom it revoked would take the revoked for good: starting over is the reader's decision, with what it costs. */
function damage(how: string): string {
  return (
    `the CA's records, PATH, ${how}. Restore it (with PATH-wal) from a backup; or save what can be read with ` +
    "`sqlite3 PATH .recover`; or move it away to begin empty records, after which certificates that were revoked pass again until they end"
  );
}

/** The text for a damage that SQLite did not report itself. */
export function damagedDatabase(path: string, how: string): BulwarkError {
  return storeError(
    "BW_CA_STORE_DAMAGED",
    damage(`is damaged (${how})`).replaceAll("PATH", path),
    `sqlite:${path}`,
  );
}

/** Types an error of node:sqlite (or of the file system around it); passes a BulwarkError through. */
export function sqliteFailure(error: unknown, path: string): BulwarkError {
  if (error instanceof BulwarkError) return error;
  const code = sqliteCode(error);
  const [failure, what] = MEANING.get(code & 0xff) ?? ["BW_CA_STORE_IO", "the CA's records, PATH, failed"];
  const detail = error instanceof Error ? error.message : String(error);
  return storeError(failure, `${what.replaceAll("PATH", path)} (${detail})`, `sqlite:${path}`, error);
}

function sqliteCode(error: unknown): number {
  if (!(error instanceof Error) || !("errcode" in error)) return 0;
  return typeof error.errcode === "number" ? error.errcode : 0;
}
