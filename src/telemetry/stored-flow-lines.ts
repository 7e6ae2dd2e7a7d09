import { openFlowDatabase } from "./flow-database.ts";

/** A record of the log as it was stored. */
export interface StoredLine {
  /** Rises in the order of storing. */
  readonly number: number;
  readonly text: string;
}

/** Every record of a flow log in the order of storing, one at a time. @throws {FlowStoreError} where it cannot be read. */
export function* storedFlowLines(path: string): Generator<StoredLine> {
  const db = openFlowDatabase(path, { readOnly: true });
  try {
    for (const { seq, body } of db.prepare("SELECT seq, body FROM flows ORDER BY seq").iterate())
      yield { number: Number(seq), text: String(body) };
  } finally {
    db.close();
  }
}
