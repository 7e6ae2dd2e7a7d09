/** Why the log could not do its work. Append-only; documented in docs/flows.md. */
export type FlowStoreErrorCode =
  | "BW_FLOWS_FULL"
  | "BW_FLOWS_READ_ONLY"
  | "BW_FLOWS_CORRUPT"
  | "BW_FLOWS_BUSY"
  | "BW_FLOWS_IO";

/** The log refused: nothing of the batch was stored, and the caller keeps it. */
export class FlowStoreError extends Error {
  override readonly name = "FlowStoreError";
  readonly code: FlowStoreErrorCode;
  /** SQLite's extended result code, where it was SQLite that refused. */
  readonly sqliteCode: number | undefined;

  constructor(code: FlowStoreErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.sqliteCode = sqliteCodeOf(cause);
  }
}

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const MEANING: ReadonlyMap<number, readonly [FlowStoreErrorCode, string]> = new Map([
  [5, ["BW_FLOWS_BUSY", "another process holds the flow log's lock"]],
  [6, ["BW_FLOWS_BUSY", "another connection holds the flow log's lock"]],
  [8, ["BW_FLOWS_READ_ONLY", "the flow log is read-only"]],
  [10, ["BW_FLOWS_IO", "the disk failed under the flow log"]],
  [11, ["BW_FLOWS_CORRUPT", "the flow log is damaged"]],
  [13, ["BW_FLOWS_FULL", "no room for the flow log (disk full, or its own limit)"]],
  [14, ["BW_FLOWS_READ_ONLY", "the flow log cannot be opened"]],
  [26, ["BW_FLOWS_CORRUPT", "the flow log is no SQLite database"]],
]);

/** SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH: one record's fault, not the log's. */
const RECORD_FAULTS: ReadonlySet<number> = new Set([18, 19, 20]);

export function isRecordFault(error: unknown): boolean {
  return RECORD_FAULTS.has((sqliteCodeOf(error) ?? 0) & 0xff);
}

/** Types an error of node:sqlite (or of the file system around it); passes a {@link FlowStoreError} through. */
export function toFlowStoreError(error: unknown, path: string): FlowStoreError {
  if (error instanceof FlowStoreError) return error;
  const [code, what] = MEANING.get((sqliteCodeOf(error) ?? 0) & 0xff) ?? [
    "BW_FLOWS_IO",
    "the flow log failed",
  ];
  const detail = error instanceof Error ? error.message : String(error);
  return new FlowStoreError(code, `${what}: ${path}: ${detail}`, error);
}

function sqliteCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}
